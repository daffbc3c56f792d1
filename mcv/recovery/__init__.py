"""Finishing or undoing what was cut off, and who holds what."""
