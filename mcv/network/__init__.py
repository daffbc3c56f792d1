"""Bridges of this host."""
