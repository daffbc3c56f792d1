"""A text from a file or from an editor, with the rights of who typed the command.

mcv runs as root, and an editor starts shells: behind sudo it is run by the user who typed the
command, in a process that has given root up for good.
"""

import contextlib
import os
import pwd
import signal
import sys
from collections.abc import Iterator, Mapping

import click

from mcv.commands import user_files
from mcv.errors import Refused

MOST_BYTES = 1024**2  # more is no overlay; the daemon says how much one has


def read(path: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text of a file, or of stdin for "-". Raises Refused for what is no text."""
    if path == "-":
        return _text(sys.stdin.buffer.read(MOST_BYTES + 1), "stdin")
    with user_files.opened(path, environment) as fd:
        os.set_blocking(fd, True)
        with os.fdopen(os.dup(fd), "rb") as file:
            try:
                return _text(file.read(MOST_BYTES + 1), path)
            except OSError as error:
                raise Refused(f"{path} cannot be read: {error.strerror}.") from error


def _text(raw: bytes, path: str) -> str:
    if len(raw) > MOST_BYTES:
        raise Refused(f"{path} has more than 1 MiB.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is no text (UTF-8).") from error


def edited(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """What an editor makes of a text. Raises Refused where it was left without saving."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _edit_and_exit(text, writing, environment)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, _deaf():
        answer = pipe.read()
        _, status = os.waitpid(child, 0)
    if status != 0:
        said = answer.decode(errors="replace") or "the editor ended with an error"
        raise Refused(f"Nothing was changed: {said}.", "Name an editor: VISUAL or EDITOR")
    return answer.decode()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C is the editor's while it runs."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _edit_and_exit(text: str, answer: int, environment: Mapping[str, str]) -> None:
    """In the child: become the typist, edit, tell the text, and end."""
    code, said = 1, b""
    try:
        _become_typist(environment)
        made = click.edit(text, extension=".xml", require_save=True)
        code, said = (1, b"it was left without saving") if made is None else (0, made.encode())
    except BaseException as error:
        said = str(error).rstrip(".").encode(errors="replace")
    finally:
        with contextlib.suppress(OSError), os.fdopen(answer, "wb") as pipe:
            pipe.write(said)
        os._exit(code)


def _become_typist(environment: Mapping[str, str]) -> None:
    """Give root up for good where sudo was used, before the editor is there."""
    uid, gid, groups = user_files.typist(environment)
    if uid == 0 or os.geteuid() != 0:
        return
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)
    with contextlib.suppress(KeyError):
        os.environ["HOME"] = pwd.getpwuid(uid).pw_dir
    # It may be a directory of root's.
    with contextlib.suppress(OSError):
        os.chdir(os.environ.get("HOME", "/"))
