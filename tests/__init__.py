"""The tests of mcv."""
