"""What may lie where a file of mcv's lay: torn, foreign, random, or no file at all."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[Path, random.Random], None]

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    1e308,
    "",
    "../../x",
    "\n",
    "\u202e",
    [],
    {},
    [[]],
    {"a": 1},
)


def empty(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def half(path: Path, chance: random.Random) -> None:
    text = path.read_bytes()
    path.write_bytes(text[: chance.randrange(max(1, len(text)))])


def noise(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(chance.randrange(1, 300)))


def no_text(path: Path, chance: random.Random) -> None:
    text = path.read_bytes()
    place = chance.randrange(len(text) + 1)
    path.write_bytes(text[:place] + b"\xff\xfe" + text[place:])


def deep(path: Path, _: random.Random) -> None:
    path.write_text("[" * 100_000)


def other_json(path: Path, chance: random.Random) -> None:
    path.write_text(json.dumps(chance.choice(ODD)))


def odd_value(path: Path, chance: random.Random) -> None:
    """One value of the file's JSON is another, or a key is gone or new."""
    try:
        value = json.loads(path.read_text())
    except ValueError:
        return noise(path, chance)
    holder, key = chance.choice(list(_places(value)) or [({}, "")])
    if chance.random() < 0.2 and isinstance(holder, dict):
        holder.pop(key, None)
        holder[f"{key}x"] = chance.choice(ODD)
    else:
        holder[key] = chance.choice(ODD)
    path.write_text(json.dumps(value))
    return None


def _places(value: Any) -> Any:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from _places(value[key])


def directory(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("")


def link_to_nothing(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to("/nothing/there")


def link_elsewhere(path: Path, _: random.Random) -> None:
    target = path.parent / "another"
    target.write_text("of another")
    path.unlink()
    path.symlink_to(target)


def link_to_itself(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to(path)


def pipe(path: Path, _: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def of_another_user(path: Path, _: random.Random) -> None:
    os.chown(path, 12345, 12345)


DAMAGES: tuple[Damage, ...] = (
    empty,
    half,
    noise,
    no_text,
    deep,
    other_json,
    odd_value,
    directory,
    link_to_nothing,
    link_elsewhere,
    link_to_itself,
    pipe,
    *([of_another_user] if os.geteuid() == 0 else []),
)


def look(path: Path) -> str:
    """What lies at a path, to be compared with what lies somewhere afterwards."""
    if path.is_symlink():
        return f"link {os.readlink(path)}"
    if path.is_dir():
        return "directory"
    if path.is_fifo():
        return "pipe"
    return path.read_bytes().hex() if path.exists() else ""


def kept(path: Path) -> list[str]:
    """What lies at a path now, and under the names that it was put aside by."""
    names = [path, *path.parent.glob(f"{path.name}.unreadable-*")]
    return [look(one) for one in names]


def fresh_copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
