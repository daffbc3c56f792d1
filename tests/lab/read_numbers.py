"""Runs on a node: says the number in each block.

Usage: read_numbers.py DEVICE OFFSET BLOCKS SIZE
"""

import mmap
import os
import struct
import sys


def numbers(device: str, offset: int, blocks: int, size: int) -> list[int]:
    """The least number in each block, as the disk has it: past the page cache."""
    disk = os.open(device, os.O_RDONLY | os.O_DIRECT)
    room = mmap.mmap(-1, size)  # of the alignment that O_DIRECT wants
    found = []
    for block in range(blocks):
        os.preadv(disk, [room], offset + block * size)
        found.append(min(struct.unpack(f"<{size // 8}Q", room)))
    return found


if __name__ == "__main__":
    print(*numbers(sys.argv[1], *map(int, sys.argv[2:])))
