"""Type at a terminal and say how long each key takes until it is shown: typist.py KEYS COMMAND…

The command is given a terminal of its own and has to show a guest's prompt. It is ended by ^].
Prints the seconds of the middle one of the keys.
"""

import contextlib
import os
import pty
import select
import statistics
import sys
import time

PROMPT = b"guest# "
LINE = 20  # keys, then the line is taken back


def main(keys: int, command: list[str]) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], command)
    prompt(terminal, 60)
    taken = []
    for number in range(keys):
        if number % LINE == 0 and number:
            os.write(terminal, b"\x15\r")
            prompt(terminal, 30)
        begun = time.monotonic()
        os.write(terminal, b"x")
        if not read_until(terminal, b"x", 30):
            raise SystemExit("A key has no echo.")
        taken.append(time.monotonic() - begun)
    os.write(terminal, b"\x15\r")
    prompt(terminal, 30)
    os.write(terminal, b"\x1d")
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass
    os.waitpid(child, 0)
    print(statistics.median(taken))


def prompt(terminal: int, patience: float) -> None:
    """Ask for a prompt until one is shown and nothing more is."""
    end = time.monotonic() + patience
    while not read_until(terminal, PROMPT, 2):
        if time.monotonic() > end:
            raise SystemExit("There is no prompt.")
        os.write(terminal, b"\r")
    while select.select([terminal], [], [], 1)[0]:
        os.read(terminal, 4096)


def read_until(terminal: int, what: bytes, patience: float) -> bool:
    """Whether it is shown in that many seconds."""
    end, seen = time.monotonic() + patience, b""
    while what not in seen:
        if not select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
            return False
        seen += os.read(terminal, 4096)
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
