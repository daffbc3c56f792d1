"""Files that are whole or not there."""

import os
import threading
from pathlib import Path

import pytest

from mcv.errors import McvError, SystemFailed
from mcv.system import files


def test_a_file_is_replaced_as_a_whole_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"

    files.write_atomically(path, "one")
    files.write_atomically(path, "zwölf")

    assert path.read_text(encoding="utf-8") == "zwölf"
    assert [one.name for one in path.parent.iterdir()] == ["file"]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("call", ["fsync", "rename", "fchmod"])
def test_a_write_that_fails_leaves_the_old_text(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(SystemFailed, match="file: no space left"):
        files.write_atomically(path, "new")

    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_readers_never_see_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    path = tmp_path / "file"
    texts = ["a" * 100_000, "b" * 50_000]
    files.write_atomically(path, texts[0])
    done = threading.Event()

    def write() -> None:
        for number in range(200):
            files.write_atomically(path, texts[number % 2])
        done.set()

    threading.Thread(target=write).start()
    seen = set()
    while not done.is_set():
        seen.add(files.read_or_none(path))

    assert seen <= set(texts)


def test_removing_is_harmless_when_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, "text")

    files.remove(path)
    files.remove(path)

    assert files.read_or_none(path) is None


def test_a_rename_moves_between_directories(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    files.write_atomically(tmp_path / "a" / "file", "text")

    files.rename(tmp_path / "a" / "file", tmp_path / "b" / "file")

    assert files.read_or_none(tmp_path / "b" / "file") == "text"
    assert files.read_or_none(tmp_path / "a" / "file") is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/x", "a/b", ".hidden", "a\nb", "a\0b"]
)
def test_a_child_never_leads_out_of_its_directory(tmp_path: Path, name: str) -> None:
    assert files.child(tmp_path, "web1.json") == tmp_path / "web1.json"
    with pytest.raises(McvError, match="is no name"):
        files.child(tmp_path, name)
