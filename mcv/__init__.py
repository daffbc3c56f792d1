"""mcv: virtual machines on a small cluster of Linux hosts."""
