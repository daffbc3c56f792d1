"""The log of events: appended without waiting, kept for a while, read by the page."""

import json
import os
from pathlib import Path

import pytest

from mcv.errors import (
    Cancelled,
    DoneInPart,
    Failed,
    McvError,
    OutcomeOpen,
    OutOfSync,
    Refused,
    RepairNeeded,
)
from mcv.system import event_log
from mcv.system.event_log import EventLog, moment, naming, outcome

NOON = 1_800_000_000.0  # 2027-01-15T08:00:00Z
DAY = 86400.0


class Clock:
    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events(tmp_path: Path, clock: Clock) -> EventLog:
    return EventLog("n1", tmp_path / "events", clock)


def whats(log: EventLog, since: str = "", cursor: str = "") -> list[str]:
    return [event.what for event in log.read(since, cursor).events]


def days(tmp_path: Path) -> list[str]:
    return sorted(path.stem for path in (tmp_path / "events").iterdir())


def test_an_event_is_read_as_it_was_told(events: EventLog) -> None:
    events.record("alice", "start", "web1", "refused: web1 is locked.")

    (event,) = events.read().events
    assert (event.who, event.what, event.subject) == ("alice", "start", "web1")
    assert (event.node, event.outcome) == ("n1", "refused: web1 is locked.")
    assert event.when == moment(NOON) == "2027-01-15T08:00:00.000Z"


def test_nothing_is_synced_and_nobody_else_may_read(
    events: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: pytest.fail("an event waits for the disk"))

    events.record("alice", "start", "web1")
    events.flush()

    (path,) = (tmp_path / "events").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_line_stays_a_line_whatever_is_in_it(events: EventLog, tmp_path: Path) -> None:
    events.record("al\nice", "start\x1b[2J", "web1", "failed: " + "x" * 1000)

    (event,) = events.read().events
    assert (event.who, event.what) == ("al\\nice", "start\\x1b[2J")
    assert len(event.outcome) == event_log.LONGEST["outcome"]
    (path,) = (tmp_path / "events").iterdir()
    assert path.read_text().count("\n") == 1


def test_a_torn_last_line_is_skipped_and_costs_no_other(events: EventLog, tmp_path: Path) -> None:
    events.record("alice", "start")
    events.flush()
    (path,) = (tmp_path / "events").iterdir()
    with path.open("a") as file:
        file.write('{"when": "2027-01-')

    page = events.read()
    assert [event.what for event in page.events] == ["start"] and not page.more
    events.record("alice", "stop")

    assert whats(events) == ["start", "stop"]
    assert whats(events, cursor=page.cursor) == ["stop"]


def test_a_reader_goes_on_where_it_was_over_the_end_of_a_day(
    events: EventLog, clock: Clock
) -> None:
    page = events.read()
    assert page.events == []
    events.record("alice", "first")
    page = events.read(cursor=page.cursor)
    assert [event.what for event in page.events] == ["first"]

    clock.at += DAY
    events.record("alice", "second")
    page = events.read(cursor=page.cursor)
    assert [event.what for event in page.events] == ["second"]

    assert events.read(cursor=page.cursor).events == []


def test_a_page_is_bounded_and_says_that_there_is_more(
    events: EventLog, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "PAGE", 1000)
    for number in range(30):
        events.record("alice", f"event {number}")
        if number == 14:
            events.flush()
            clock.at += DAY

    seen, pages, page = [], 0, events.read()
    while True:
        seen += [event.what for event in page.events]
        pages += 1
        if not page.more:
            break
        page = events.read(cursor=page.cursor)

    assert seen == [f"event {number}" for number in range(30)]
    assert pages > 3


def test_what_is_no_line_at_all_is_passed_over(
    events: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "PAGE", 100)
    events.record("alice", "start")
    events.flush()
    (path,) = (tmp_path / "events").iterdir()
    path.write_bytes(b"\0" * 250 + b"\n" + path.read_bytes())

    page, seen = events.read(), []
    for _ in range(10):
        seen += [event.what for event in page.events]
        page = events.read(cursor=page.cursor)

    monkeypatch.setattr(event_log, "PAGE", 1000)
    assert whats(events) == ["start"]
    assert seen in ([], ["start"])  # a page of 100 bytes holds no line of this length


def test_since_leaves_out_what_was_before(events: EventLog, clock: Clock) -> None:
    events.record("alice", "old")
    clock.at += 60
    events.record("alice", "new")

    assert whats(events, since=moment(clock.at)) == ["new"]


def test_events_are_kept_for_thirty_days(events: EventLog, clock: Clock, tmp_path: Path) -> None:
    for _ in range(40):
        events.record("alice", "start")
        events.flush()
        clock.at += DAY

    assert len(days(tmp_path)) == event_log.KEPT + 1
    assert len(whats(events)) == event_log.KEPT


def test_a_day_has_no_more_than_its_room_and_refusals_take_half_of_it(
    events: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "LARGEST", 4000)
    monkeypatch.setattr(event_log, "REFUSALS", 2000)
    for _ in range(100):
        events.record("mallory", "stop", "web1", "refused: mallory is no superuser.")
    events.record("alice", "start", "web1")
    for _ in range(100):
        events.record("alice", "stop", "web1")
    events.flush()

    (path,) = (tmp_path / "events").iterdir()
    assert 3500 < path.stat().st_size <= 4000
    assert "start" in whats(events)


def test_without_room_an_event_is_dropped_and_nothing_else_fails(
    events: EventLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "events").write_text("no directory")

    for _ in range(3):
        events.record("alice", "start")
        events.flush()

    assert events.read().events == []
    assert len([record for record in caplog.records if "not kept" in record.message]) == 1


def test_a_link_in_the_place_of_a_day_is_neither_read_nor_written(
    events: EventLog, tmp_path: Path
) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "secret").write_text('{"when": "2027"}\n')
    (tmp_path / "events/2027-01-15.jsonl").symlink_to(tmp_path / "secret")

    events.record("alice", "start")

    assert events.read().events == []
    assert (tmp_path / "secret").read_text() == '{"when": "2027"}\n'


def test_a_line_of_another_form_is_skipped(events: EventLog, tmp_path: Path) -> None:
    events.record("alice", "start")
    events.flush()
    (path,) = (tmp_path / "events").iterdir()
    row = json.loads(path.read_text())
    with path.open("a") as file:
        file.write(json.dumps({**row, "what": 7}) + "\n[]\n" + json.dumps({**row, "new": 1}) + "\n")

    assert whats(events) == ["start", "start"]


@pytest.mark.parametrize("cursor", ["", "..", "2027-01-15", "2027-01-15/-1", "/etc/passwd/0"])
def test_a_cursor_that_is_none_begins_at_the_beginning(events: EventLog, cursor: str) -> None:
    events.record("alice", "start")

    assert whats(events, cursor=cursor) == ["start"]


def test_what_names_a_vm_is_found_and_not_what_begins_like_it(
    events: EventLog, clock: Clock
) -> None:
    events.record("alice", "start", "web1")
    clock.at += DAY
    events.record("alice", "start", "web10")
    events.record("alice", "migrate web1 to n2")
    events.record("mcvd", "evacuate", "n1", "failed: web1 does not move.")

    page = events.lately("web1", 10)
    found = page.events

    assert [event.what for event in found] == ["start", "migrate web1 to n2", "evacuate"]
    assert [event.what for event in events.lately("web1", 2).events] == [
        "migrate web1 to n2",
        "evacuate",
    ]
    assert naming("web1").search("web1-2") is None
    events.record("bob", "stop", "web2")
    assert whats(events, cursor=page.cursor) == ["stop"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "done"),
        (Failed("It was undone."), "failed: It was undone."),
        (
            Refused("2 things.", "h", [("a is off.", "x"), ("b.", "")]),
            "refused: 2 things. a is off. b.",
        ),
        (Cancelled("The wait ended."), "cancelled"),
        (OutcomeOpen("Not known."), "outcome open: Not known."),
        (RepairNeeded("Half."), "stopped half-way: Half."),
        (DoneInPart("It moved."), "done in part: It moved."),
        (OutOfSync("8 blocks."), "found: 8 blocks."),
    ],
)
def test_an_outcome_says_first_what_was_left_behind(error: McvError | None, said: str) -> None:
    assert outcome(error) == said
