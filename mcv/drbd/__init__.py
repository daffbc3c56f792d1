"""Replicated volumes: roles, verification, resync, and the driver of the DRBD utilities."""
