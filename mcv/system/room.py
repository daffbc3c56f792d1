"""Room on disk: whether a node can write down what it would have to."""

import os
from pathlib import Path

LEAST = 4 * 1024**2  # bytes below which a file system counts as full: documents, plans, records


def problem(state: Path) -> str:
    """Why nothing can be written to a node's state directory, in a few words; "" where it can be.

    The directory above it is named: /var/lib/mcv.
    """
    shown = state.parent
    try:
        room = os.statvfs(state)
    except OSError as error:
        return f"{shown} cannot be used: {error.strerror}"
    if room.f_flag & os.ST_RDONLY:
        return f"{shown} is read-only"
    # root may use the reserved blocks too. A file system without a table of files tells none.
    no_files = room.f_files > 0 and room.f_ffree == 0
    return f"{shown} is full" if room.f_bfree * room.f_frsize < LEAST or no_files else ""


def hint(node: str, state: Path) -> str:
    """What helps where there is no room."""
    return f"Make room on {node}: df -h {state.parent}"
