"""`mcv log`: of a VM, else of a node; lines for people, JSON for scripts."""

import json
from typing import Any

import pytest

from mcv.errors import NotFound
from tests.commands.conftest import FakeDaemon, Speak

ROW = {"when": "2026-11-29T11:00:00.000Z", "node": "n1", "source": "qemu", "text": "starting up"}


def page(*rows: dict[str, Any], **different: Any) -> dict[str, Any]:
    return {"lines": list(rows), "cursors": {}, "more": [], "silent": {}, **different}


def test_lines_about_a_vm(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["vm.log"] = page(ROW, {**ROW, "text": "evil\x1b[2J\nline"})

    heard, scripted = mcv("log web1"), mcv("log web1 --json")

    assert heard.out.splitlines() == [
        "2026-11-29T11:00:00Z  n1  qemu  starting up",
        "2026-11-29T11:00:00Z  n1  qemu  evil\\x1b[2J\\nline",
    ]
    assert scripted.json[0] == ROW
    assert daemon.asked("vm.log")[0] == {"name": "web1", "lines": 200, "cursors": {}}


def test_what_is_no_vm_is_a_node_or_nothing(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["vm.log"] = NotFound("There is no VM n1.")
    daemon.answers["node.log"] = page(ROW, silent={"n1": "no journal"})
    heard = mcv("log n1 --lines 5")
    assert heard.code == 0 and "starting up" in heard.out and "no journal" in heard.err
    assert daemon.asked("node.log") == [{"name": "n1", "lines": 5, "cursors": {}}]

    daemon.answers["node.log"] = NotFound("There is neither a VM nor a node n1.")
    assert mcv("log n1").code == 3


def test_nothing_is_said_to_be_nothing(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["vm.log"] = page()

    assert mcv("log web1").out == "Nothing about web1.\n"
    assert mcv("log web1 --json").json == []


def test_following_goes_on_with_what_comes(
    mcv: Speak, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [page(ROW, cursors={"n1": {"qemu": "1"}}), page(), page({**ROW, "text": "later"})]

    def next_page(params: dict[str, Any]) -> dict[str, Any]:
        if not pages:
            raise KeyboardInterrupt
        return pages.pop(0)

    daemon.answers["vm.log"] = next_page
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    heard = mcv("log web1 --follow --json")

    assert [json.loads(line)["text"] for line in heard.out.splitlines()] == ["starting up", "later"]
    assert daemon.asked("vm.log")[1]["cursors"] == {"n1": {"qemu": "1"}}


@pytest.mark.parametrize("lines", ["0", "-1", "1001", "many"])
def test_a_number_of_lines_that_makes_no_sense_is_refused(
    mcv: Speak, daemon: FakeDaemon, lines: str
) -> None:
    assert mcv(f"log web1 --lines {lines}").code == 3 and daemon.calls == []
