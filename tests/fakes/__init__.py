"""Fake doors: real operations run over them, two nodes and more in one process."""
