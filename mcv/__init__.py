"""mcv: virtual machines on a small cluster of Linux hosts."""

__version__ = "0.1.0"
