"""The addresses in this host's mcv.conf: written by mcv, and taken back as they were."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from mcv.errors import Refused, Unreadable
from mcv.settings import Settings
from mcv.system import files

MODE = 0o644


def write_addresses(settings: Settings, ip_address: str, drbd_address: str) -> None:
    """Write both addresses, every other line left alone; the text of before is kept beside.

    Harmless when that is done. Errors: McvError where the file cannot be read or written.
    """
    conf = settings.conf.resolve()
    text = files.read_or_none(conf)
    former = former_kept(settings)
    if not former.exists():
        files.write_atomically(former, text or "")
    new = with_values(text or "", {"address": ip_address, "drbd_address": drbd_address})
    if new != text:
        conf.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(conf, new, _mode(conf))


def why_not_written(settings: Settings) -> Refused | None:
    """What forbids to write mcv.conf: mcvd's unit of before left /etc read-only, for instance."""
    directory = settings.conf.resolve().parent
    while not directory.exists():
        directory = directory.parent
    if os.access(directory, os.W_OK):
        return None
    return Refused(
        f"mcvd of {settings.node} cannot write {settings.conf}.",
        "Was it installed anew? On it: make install, systemctl daemon-reload, and restart mcvd",
    )


def restore_former(settings: Settings) -> None:
    """Give mcv.conf the text of before; harmless where nothing was written."""
    former = former_kept(settings)
    try:
        text = files.read_or_none(former)
    except Unreadable:
        text = None
    if text is not None:
        conf = settings.conf.resolve()
        if files.read_or_none(conf) != text:
            files.write_atomically(conf, text, _mode(conf))
        files.remove(former)


def former_kept(settings: Settings) -> Path:
    """Where mcv.conf is kept as it was."""
    return settings.state / "mcv.conf.former"


def with_values(text: str, values: Mapping[str, str]) -> str:
    """The text of a mcv.conf with other values: a key's own line is replaced, or added last."""
    left = dict(values)
    lines = []
    for line in text.splitlines():
        key = re.match(r"\s*([a-z_]+)\s*[=:]", line)
        if key and key[1] in values:
            line = f"{key[1]} = {values[key[1]]}"
            left.pop(key[1], None)
        lines.append(line)
    lines += [f"{key} = {value}" for key, value in left.items()]
    return "\n".join(lines) + "\n"


def _mode(conf: Path) -> int:
    return conf.stat().st_mode & 0o777 if conf.exists() else MODE
