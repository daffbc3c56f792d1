"""What --image and --iso name: an image by its name, or a FILE."""

import re

from mcv.commands import user_files
from mcv.commands.session import Session
from mcv.errors import Refused

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def image(session: Session, text: str, format: str | None) -> dict[str, object]:
    """Where the bytes of a new disk are, for the daemon."""
    if format is None and is_known(session, text):
        return {"name": text}
    # The daemon opens the file by way of this process, so it stays open until then.
    with user_files.opened(text) as fd:
        taken: dict[str, object] = session.take(fd, format)
        return taken


def iso(session: Session, text: str) -> str:
    """The image for a CD drive; a FILE becomes an image first, and stays it."""
    if NAME.fullmatch(text):
        return text
    name = re.sub(r"[^a-z0-9]+", "-", text.rpartition("/")[2].lower().removesuffix(".iso"))
    name = name.strip("-")[:63].strip("-") or "cd"
    if is_known(session, name):
        raise Refused(f"There is an image {name} already.", f"--iso {name}")
    if session.dry_run:
        raise Refused(f"{text} is no image yet.", f"mcv image add {name} {text}")
    with user_files.opened(text) as fd:
        session.run("image.add", name=name, fd=fd, kind="iso")
    session.note(f"{text} is the image {name} now.")
    return name


def is_known(session: Session, text: str) -> bool:
    """Whether there is an image of that name; a text that is no name is not asked about."""
    return bool(NAME.fullmatch(text)) and any(
        row["name"] == text for row in session.call("image.list")
    )
