"""Guests that start at once: a boot sector each, in a raw image of 1 MiB."""

SIZE = 1 << 20

# Halts for ever.
IDLE = "f4 eb fd"

# Asks for the ACPI power button (port 0x600, 0x602) and, once it is pressed, switches the machine
# off (0x2000 to port 0x604): `mcv shutdown` works, on pc and on q35.
POLITE = """
    fb ba 02 06 b8 00 01 ef f4 ba 00 06 ed f6 c4 01 74 f6 ba 04 06 b8 00 20 ef eb ed
"""

# Switches itself off at once.
QUITTER = "fa ba 04 06 b8 00 20 ef f4 eb fd"


def image(code: str) -> bytes:
    """The disk that boots these bytes of code, written in hexadecimal."""
    sector = bytes.fromhex(code).ljust(510, b"\0") + b"\x55\xaa"
    if len(sector) != 512:
        raise ValueError("The code does not fit a boot sector.")
    return sector.ljust(SIZE, b"\0")


def idle() -> bytes:
    return image(IDLE)


def polite() -> bytes:
    return image(POLITE)


def quitter() -> bytes:
    return image(QUITTER)
