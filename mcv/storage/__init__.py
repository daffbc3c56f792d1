"""Volumes of this host: one driver for each kind."""
