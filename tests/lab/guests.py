"""Guests that start at once: a boot sector each, in a raw image of 1 MiB; and a real Linux."""

from tests.lab.host import Place
from tests.lab.image import Image
from tests.lab.linux_guest import BLOCK, BLOCKS, NUMBERED, LinuxGuest

SIZE = 1 << 20

# Halts for ever.
IDLE = "f4 eb fd"

# Asks for the ACPI power button (port 0x600, 0x602) and, once it is pressed, switches the machine
# off (0x2000 to port 0x604): `mcv shutdown` works, on pc and on q35.
POLITE = """
    fb ba 02 06 b8 00 01 ef f4 ba 00 06 ed f6 c4 01 74 f6 ba 04 06 b8 00 20 ef eb ed
"""

# Writes the text behind it to the first serial port, then is as POLITE is.
SPEAKER = "31 c0 8e d8 be 2e 7c ba f8 03 fc ac 84 c0 74 03 ee eb f8" + POLITE

# Switches itself off at once.
QUITTER = "fa ba 04 06 b8 00 20 ef f4 eb fd"

# Fills 8 MiB of its memory (from 1 MiB on, in unreal mode), then counts, and writes each number n
# to the sector 1 + n % 1024 by the BIOS (int 13h), a hundred times a second; one that the disk
# does not take is written again.
WRITER = """
    fa 31 c0 8e d8 8e c0 8e d0 bc 00 7c 0f 01 16 75 7c 0f 20 c0 0c 01 0f 22 c0 bb 08 00 8e
    c3 24 fe 0f 22 c0 31 db 8e c3 66 bf 00 00 10 00 66 b9 00 00 20 00 fc 67 66 f3 ab fb 66
    ff 06 00 7e 66 a1 00 7e 66 25 ff 03 00 00 66 40 66 a3 6d 7c be 65 7c b2 80 b8 00 43 cd
    13 72 f4 b4 86 31 c9 ba 10 27 cd 15 eb d4 10 00 01 00 00 7e 00 00 00 00 00 00 00 00 00
    00 0f 00 7b 7c 00 00 00 00 00 00 00 00 00 00 ff ff 00 00 00 92 cf 00
"""
# Fills memory the same way, then adds one to the first number of each of its pages in turn, 2
# pages at each tick of the clock (18.2 a second): 146 KiB of memory change in a second, less
# than two busy nodes carry across.
TOUCHER = """
    fa 31 c0 8e d8 8e c0 8e d0 bc 00 7c 0f 01 16 75 7c 0f 20 c0 0c 01 0f 22 c0 bb 08 00 8e
    c3 24 fe 0f 22 c0 31 db 8e c3 66 bf 00 00 10 00 66 b9 00 00 20 00 fc 67 66 f3 ab fb 66
    bf 00 00 10 00 f4 b9 02 00 26 67 66 ff 07 66 81 c7 00 10 00 00 e2 f2 66 81 ff 00 00 90
    00 72 e5 eb dd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 0f 00 7b 7c 00 00 00 00 00 00 00 00 00 00 ff ff 00 00 00 92 cf 00
"""
WRITTEN = 1024  # sectors that it writes to in turn, from the second on


def image(code: str) -> bytes:
    """The disk that boots these bytes of code, written in hexadecimal."""
    sector = bytes.fromhex(code).ljust(510, b"\0") + b"\x55\xaa"
    if len(sector) != 512:
        raise ValueError("The code does not fit a boot sector.")
    return sector.ljust(SIZE, b"\0")


def linux() -> bytes:
    """A real Linux (tests/lab/linux_guest.py) that wants 96 MiB of memory, all labs' the same."""
    image = Image(Place.from_environment().directory / "base")
    with image.alone():
        return LinuxGuest(image.directory).prepare().read_bytes()


def numberer() -> bytes:
    """The same, on a disk of 37 MiB or more; it writes numbered blocks as long as it runs."""
    return linux() + NUMBERED.encode().ljust(BLOCK, b"\0") + bytes(BLOCKS * BLOCK)


def idle() -> bytes:
    return image(IDLE)


def polite() -> bytes:
    return image(POLITE)


def speaker(text: str) -> bytes:
    """One that says a line on its console and then waits to be shut down."""
    return image(SPEAKER + f"{text}\r\n\0".encode().hex(" "))


def quitter() -> bytes:
    return image(QUITTER)


def writer(filled: int = 8) -> bytes:
    """One that fills so many MiB of its memory, for a migration that lasts."""
    dwords = (filled << 18).to_bytes(4, "little").hex(" ")
    return image(WRITER.replace("66 b9 00 00 20 00", f"66 b9 {dwords}"))


def toucher(filled: int) -> bytes:
    """One that fills so many MiB of its memory and goes on changing them, page by page."""
    dwords = (filled << 18).to_bytes(4, "little").hex(" ")
    end = ((filled + 1) << 20).to_bytes(4, "little").hex(" ")
    code = " ".join(TOUCHER.split()).replace("66 b9 00 00 20 00", f"66 b9 {dwords}")
    return image(code.replace("66 81 ff 00 00 90 00", f"66 81 ff {end}"))
