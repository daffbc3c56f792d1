"""Whether a program is root's alone: nobody else can change it, or put another in its place."""

import hashlib
import os
import stat
from pathlib import Path

LARGEST = 16 * 1024**2  # bytes of a program that is read
OTHERS = stat.S_IWGRP | stat.S_IWOTH


def why_not_roots(path: str, owner: int = 0, top: Path = Path("/")) -> str:
    """Why others than root decide what is run under a path; "" where nobody does.

    The path is real: no part of it is a link. The file and each directory up to `top` are root's,
    and nobody else writes to them.
    """
    real = os.path.realpath(path)
    if real != path:
        return f"{path} is, or leads over, a link: name {real}"
    place = Path(path)
    for each in (place, *place.parents):
        try:
            found = os.lstat(each)
        except OSError as error:
            return f"{each}: {error.strerror}"
        if each == place and not stat.S_ISREG(found.st_mode):
            return f"{path} is no file"
        if found.st_uid != owner:
            return f"{each} is not root's"
        if found.st_mode & OTHERS:
            return f"{each} can be written to by others than root"
        if each == top:
            break
    return "" if os.lstat(place).st_mode & stat.S_IXUSR else f"{path} cannot be executed"


def sha256(path: str) -> str:
    """The digest of a file. Raises OSError, also for one that is too large for a program."""
    with open(path, "rb") as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise OSError(f"{path} is larger than {LARGEST} bytes")
    return hashlib.sha256(text).hexdigest()
