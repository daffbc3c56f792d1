"""`mcv edit`: files, an editor with the typist's rights, questions, and what is shown."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcv.commands import edit, editor
from mcv.errors import Refused
from tests.commands.conftest import FakeDaemon, Speak

OVERLAY = "<domain><title>x</title></domain>\n"
PREVIEW = {"dry_run": True, "plan": ["vm.overlay"], "diff": "-old\n+new", "tied": ["it has x."]}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def answer(params: dict[str, Any]) -> dict[str, Any]:
    if params.get("dry_run"):
        return PREVIEW
    return {"name": "web1", "overlay": params["overlay"], "diff": "", "tied": [], "active": True}


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    daemon.answers["vm.edit"] = answer
    daemon.answers["vm.overlay"] = {"name": "web1", "overlay": "", "xml": "<domain/>\n"}
    return daemon


@pytest.fixture
def an_editor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A script that an operator has for an editor, where any user may run it."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "editor"
        monkeypatch.setenv("VISUAL", str(path))
        yield path


def write(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def laid(daemon: FakeDaemon) -> list[str]:
    return [asked["overlay"] for asked in daemon.asked("vm.edit") if not asked["dry_run"]]


def test_a_file_is_laid_over_at_a_yes(mcv: Speak, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "o.xml").write_text(OVERLAY)

    heard = mcv(f"edit web1 --file {tmp_path / 'o.xml'} --yes")

    assert laid(daemon) == [OVERLAY]
    assert heard.out == "web1 has an overlay, from its next start on.\n"


def test_without_a_terminal_nothing_is_laid_over(mcv: Speak, daemon: FakeDaemon) -> None:
    heard = mcv("edit web1 --file -", typed=OVERLAY)
    without = mcv("edit web1")

    assert (heard.code, without.code, laid(daemon)) == (3, 3, [])
    assert "--yes" in heard.err and "no terminal" in without.err


@pytest.mark.usefixtures("terminal")
def test_the_effect_is_shown_before_it_is_asked_for(mcv: Speak, daemon: FakeDaemon) -> None:
    heard = mcv("edit web1 --remove", typed="n\n")

    assert heard.err.startswith("-old\n+new\nIt cannot leave its node then: it has x.\n")
    assert heard.code == 3 and laid(daemon) == []


def test_what_is_no_text_is_refused(mcv: Speak, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "o.xml").write_bytes(b"\xff\xfe")
    (tmp_path / "large.xml").write_bytes(b"x" * (1024**2 + 1))

    for name, why in (("o", "is no text"), ("large", "more than 1 MiB"), ("none", "be read")):
        heard = mcv(f"edit web1 --file {tmp_path / name}.xml --yes")
        assert heard.code == 3 and why in heard.err
    assert daemon.calls == []


@pytest.mark.usefixtures("terminal")
def test_what_was_edited_is_laid_over_without_the_explanation(
    mcv: Speak, daemon: FakeDaemon, an_editor: Path
) -> None:
    write(an_editor, f"grep -q 'laid over the domain of web1' $1 && cat >> $1 <<E\n{OVERLAY}E")

    heard = mcv("edit web1", "--yes")

    assert heard.code == 0
    assert laid(daemon) == [edit.EMPTY + OVERLAY]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("script", "why"),
    [("true", "left without saving"), ("exit 3", "Editing failed"), ("touch -d 2030-1-1 $1", "as")],
)
def test_an_editor_that_saves_nothing_changes_nothing(
    mcv: Speak, daemon: FakeDaemon, an_editor: Path, script: str, why: str
) -> None:
    write(an_editor, script)

    heard = mcv("edit web1", "--yes")

    assert heard.code == 3 and why in heard.err and laid(daemon) == []


@pytest.mark.usefixtures("terminal")
def test_what_is_refused_can_be_edited_again(
    mcv: Speak, daemon: FakeDaemon, an_editor: Path
) -> None:
    refusals = [Refused("<name> of web1 is no overlay's."), None]

    def refuse_once(params: dict[str, Any]) -> Any:
        return refusals.pop(0) or answer(params)

    daemon.answers["vm.edit"] = refuse_once
    write(an_editor, "echo '<!-- once more -->' >> $1")

    heard = mcv("edit web1", "--yes", typed="y\n")

    assert heard.code == 0 and "Edit it again?" in heard.err
    assert laid(daemon)[-1].count("once more") == 2


@needs_root
def test_an_editor_behind_sudo_has_the_rights_of_who_typed_it(an_editor: Path) -> None:
    write(an_editor, "echo $(id -u) $(id -G) > $1; cat /etc/shadow >> $1; true")

    text = editor.edited("", {"SUDO_UID": "54321", "SUDO_GID": "54322"})

    assert text.startswith("54321 54322\n") and "root:" not in text
    assert os.geteuid() == 0
