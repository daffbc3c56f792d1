"""Programs that root runs for a service: nobody else decides what they are."""

import os
from pathlib import Path

import pytest

from mcv.system import root_files

ME = os.geteuid()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory of root's in one of root's; the whole of a path below is looked at."""
    top = Path(os.path.realpath(tmp_path)) / "top"
    (top / "sbin").mkdir(parents=True, mode=0o755)
    script = top / "sbin/www"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    return top


def why(place: Path, owner: int = ME) -> str:
    return root_files.why_not_roots(str(place / "sbin/www"), owner, place)


def test_a_script_that_nobody_else_can_change_is_root_s(place: Path) -> None:
    assert why(place) == ""


@pytest.mark.parametrize("which", ["sbin/www", "sbin", "."])
@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_what_others_can_write_to_is_not_run(place: Path, which: str, mode: int) -> None:
    (place / which).chmod(mode)

    assert why(place).endswith("can be written to by others than root")


def test_what_is_another_user_s_is_not_run(place: Path) -> None:
    assert why(place, owner=ME + 1).endswith("is not root's")


def test_a_link_is_not_followed(place: Path) -> None:
    script = place / "sbin/www"
    script.rename(place / "sbin/real")
    script.symlink_to("real")
    assert "link: name" in why(place)
    script.unlink()
    (place / "sbin").rename(place / "bin")
    (place / "sbin").symlink_to("bin")
    (place / "bin/real").rename(place / "bin/www")
    assert "link: name" in why(place)


def test_what_is_no_program_is_not_run(place: Path) -> None:
    script = place / "sbin/www"
    script.chmod(0o644)
    assert why(place).endswith("cannot be executed")
    script.unlink()
    assert why(place).endswith("No such file or directory")
    script.mkdir(0o755)
    assert why(place).endswith("is no file")


def test_every_directory_up_to_the_root_is_looked_at(place: Path) -> None:
    """A directory that everybody may write to is found above what is looked at first, too."""
    place.parent.chmod(0o777)

    said = root_files.why_not_roots(str(place / "sbin/www"), ME, place.parent)

    assert said == f"{place.parent} can be written to by others than root"


def test_a_digest_is_of_what_the_file_holds(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = place / "sbin/www"
    first = root_files.sha256(str(script))
    script.write_text("#!/bin/sh\nexit 1\n")

    assert root_files.sha256(str(script)) != first and len(first) == 64
    monkeypatch.setattr(root_files, "LARGEST", 3)
    with pytest.raises(OSError, match="larger than"):
        root_files.sha256(str(script))
