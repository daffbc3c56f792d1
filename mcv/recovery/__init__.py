"""Resuming interrupted operations; claims and locks."""
