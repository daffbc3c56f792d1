"""`mcv events`: lines for people and for scripts, read on, silence told once."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mcv.commands import events as command
from mcv.commands import moments
from mcv.errors import DaemonDown, Refused
from tests.commands.conftest import FakeDaemon, Speak

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def row(what: str, when: str = "2026-11-29T11:00:00.000Z", **different: Any) -> dict[str, Any]:
    known = {"when": when, "node": "n1", "who": "alice", "what": what, "subject": "web1"}
    return {**known, "outcome": "done", **different}


def page(*rows: dict[str, Any], **different: Any) -> dict[str, Any]:
    return {"events": list(rows), "cursors": {}, "more": [], "silent": {}, **different}


def test_events_are_lines_and_under_json_lines_of_json(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["event.list"] = page(
        row("start"), row("stop", outcome="refused: web1 is locked.")
    )

    heard, scripted = mcv("events --since 2h"), mcv("events --since 2h --json")

    assert heard.out.splitlines() == [
        "2026-11-29T11:00:00Z  n1  alice  start web1: done",
        "2026-11-29T11:00:00Z  n1  alice  stop web1: refused: web1 is locked.",
    ]
    lines = [json.loads(line) for line in scripted.out.splitlines()]
    assert [set(line) for line in lines] == [set(command.KEYS)] * 2
    assert heard.code == scripted.code == 0


def test_no_event_acts_on_a_terminal(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["event.list"] = page(row("start\x1b[2J", who="a\nb"))

    heard = mcv("events")

    assert "\x1b" not in heard.out and len(heard.out.splitlines()) == 1


def test_pages_are_read_to_the_end_of_those_who_have_more(mcv: Speak, daemon: FakeDaemon) -> None:
    late, early = "2026-11-29T11:30:00.000Z", "2026-11-29T11:00:00.000Z"
    pages = [
        page(row("second", late), cursors={"n1": "a", "n2": "b"}, more=["n2"]),
        page(row("first", early), cursors={"n1": "a", "n2": "c"}),
    ]
    daemon.answers["event.list"] = lambda params: pages.pop(0)

    heard = mcv("events")

    first, second = daemon.asked("event.list")
    assert first["cursors"] == {} and "nodes" not in first
    assert second["cursors"] == {"n1": "a", "n2": "b"} and second["nodes"] == ["n2"]
    assert [line.split()[3] for line in heard.out.splitlines()] == ["first", "second"]


def test_a_silent_node_is_named_beside_the_result(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["event.list"] = page(row("start"), silent={"n2": "n2 does not answer."})

    heard = mcv("events --json")

    assert heard.code == 0 and len(heard.out.splitlines()) == 1
    assert heard.err == "n2 is missing: n2 does not answer.\n"


def test_following_shows_what_comes_and_tells_of_silence_once(
    mcv: Speak, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = {"n2": "n2 does not answer."}
    pages = [
        page(cursors={"n1": "1"}, silent=silent),
        page(row("start"), cursors={"n1": "2"}, silent=silent),
        page(row("stop"), cursors={"n1": "3"}),
    ]

    def next_page(params: dict[str, Any]) -> dict[str, Any]:
        if not pages:
            raise KeyboardInterrupt
        return pages.pop(0)

    daemon.answers["event.list"] = next_page
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)

    heard = mcv("events --follow")

    assert [line.split()[3] for line in heard.out.splitlines()] == ["start", "stop"]
    assert heard.err.count("n2 is missing") == 1 and heard.err.count("answers again") == 1
    assert [asked["cursors"] for asked in daemon.asked("event.list")][1:3] == [
        {"n1": "1"},
        {"n1": "2"},
    ]
    assert waited == [command.POLL] * 3


def test_following_outlives_a_daemon_that_is_away_and_goes_on_where_it_was(
    mcv: Speak, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = DaemonDown("mcvd does not run on this host.")
    answers: list[Any] = [
        page(cursors={"n1": "1"}),
        down,
        down,
        page(row("start"), cursors={"n1": "2"}),
    ]

    def answer(params: dict[str, Any]) -> Any:
        if not answers:
            raise KeyboardInterrupt
        if isinstance(told := answers.pop(0), DaemonDown):
            raise told
        return told

    daemon.answers["event.list"] = answer
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    heard = mcv("events --follow")

    assert [line.split()[3] for line in heard.out.splitlines()] == ["start"]
    assert heard.err.splitlines()[:2] == [str(down), "It answers again."]
    assert daemon.asked("event.list")[3]["cursors"] == {"n1": "1"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", "2026-11-29T11:50:00.000Z"),
        ("2h", "2026-11-29T10:00:00.000Z"),
        ("3d", "2026-11-26T12:00:00.000Z"),
        ("2026-11-29T10:00:00Z", "2026-11-29T10:00:00.000Z"),
        ("2026-11-29T10:00:00+02:00", "2026-11-29T08:00:00.000Z"),
    ],
)
def test_since_is_so_long_ago_or_a_time(text: str, moment: str) -> None:
    assert moments.since(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "10 minutes", "2026-13-01", "999999d"])
def test_what_names_no_time_is_refused(text: str, mcv: Speak, daemon: FakeDaemon) -> None:
    with pytest.raises(Refused, match="names no time"):
        moments.since(text, NOW)
    assert mcv("events --since", text).code == 3 and daemon.calls == []
