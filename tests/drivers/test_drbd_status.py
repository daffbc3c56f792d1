"""DRBD's words, and what is made of them."""

from typing import Any

import pytest

from mcv.drivers.drbd_status import (
    Event,
    Generations,
    Picture,
    have_split,
    parse_event,
    parse_generations,
    parse_options,
    parse_progress,
    parse_statuses,
    picture,
)
from tests.drivers import drbd_output

KIB = 1024


@pytest.mark.parametrize(
    ("story", "text", "expected"),
    [
        ("in step", drbd_output.SECONDARY, "Secondary Connected UpToDate UpToDate"),
        ("new on both sides", drbd_output.NEW, "Secondary Connected Inconsistent Inconsistent"),
        ("looking for its peer", drbd_output.LOOKING, "Secondary Connecting UpToDate DUnknown"),
        ("standing alone", drbd_output.OUTDATED, "Secondary StandAlone Outdated DUnknown"),
        ("verifying", drbd_output.VERIFYING, "Primary VerifyS UpToDate UpToDate"),
        ("sending a resync", drbd_output.SYNCING, "Primary SyncSource UpToDate Inconsistent"),
        (
            "the same on DRBD 9",
            drbd_output.NINE_SYNCING,
            "Primary SyncSource UpToDate Inconsistent",
        ),
    ],
)
def test_a_status_is_what_the_events_say(story: str, text: str, expected: Any) -> None:
    status = parse_statuses(text)["web1"]

    said = f"{status.role} {status.connection} {status.disk} {status.peer_disk}"
    assert (story, said) == (story, expected)


def test_sizes_are_bytes_and_the_rest_is_taken_over() -> None:
    status = parse_statuses(drbd_output.NINE_SYNCING)["web1"]

    assert status.minor == 100
    assert status.size == 1048576 * KIB
    assert status.out_of_sync == 524288 * KIB
    assert status.done == 50.0
    assert status.upper_pending == 2
    assert status.peer_role == "Secondary"


def test_io_that_stands_still_says_why() -> None:
    status = parse_statuses(drbd_output.FROZEN)["web1"]

    assert status.suspended == "fencing"


@pytest.mark.parametrize(
    ("text", "connected", "alone", "working"),
    [
        (drbd_output.SECONDARY, True, False, False),
        (drbd_output.SYNCING, True, False, True),
        (drbd_output.LOOKING, False, False, False),
        (drbd_output.ALONE, False, True, False),
    ],
)
def test_questions_about_the_connection(
    text: str, connected: bool, alone: bool, working: bool
) -> None:
    status = parse_statuses(text)["web1"]

    assert status.connected == connected
    assert status.is_standalone == alone
    assert status.is_working == working


def test_what_the_kernel_does_not_know_has_no_status() -> None:
    assert parse_statuses(drbd_output.UNKNOWN) == {}


def test_a_resource_without_a_device_is_diskless_and_alone() -> None:
    text = "exists resource name:web1 role:Secondary suspended:no write-ordering:none\nexists -\n"

    status = parse_statuses(text)["web1"]

    assert (status.disk, status.connection, status.minor) == ("Diskless", "StandAlone", None)


def test_a_device_without_a_disk_has_no_size() -> None:
    text = drbd_output.SECONDARY.replace("size:102360", "size:9223372036854775807")

    assert parse_statuses(text)["web1"].size == 0


def test_several_resources_are_told_apart() -> None:
    text = drbd_output.PRIMARY + drbd_output.LOOKING.replace("name:web1", "name:db1")

    statuses = parse_statuses(text)

    assert {name: one.role for name, one in statuses.items()} == {
        "web1": "Primary",
        "db1": "Secondary",
    }


@pytest.mark.parametrize(
    ("text", "minor", "expected"),
    [
        (drbd_output.PROC_VERIFYING, 100, 11.0),
        (drbd_output.PROC_SYNCING, 100, 14.0),
        (drbd_output.PROC_BEGINNING, 100, 0.1),
        (drbd_output.PROC_VERIFYING, 10, None),
        (drbd_output.PROC_SYNCING, 101, None),
        (drbd_output.PROC_SYNCING, 0, None),
        ("", 100, None),
    ],
)
def test_progress_is_that_of_the_minor_that_was_asked_for(
    text: str, minor: int, expected: Any
) -> None:
    assert parse_progress(text, minor) == expected


def test_an_event_tells_only_what_its_line_speaks_of() -> None:
    first, last = (parse_event(line) for line in drbd_output.VERIFIED.splitlines())

    assert first is not None and last is not None
    assert (first.verb, first.resource, first.replication) == ("change", "web1", "VerifyS")
    assert (first.connection, first.disk, first.peer_disk, first.role) == (None,) * 4
    assert last.replication == "Established"


def test_the_role_of_a_peer_is_not_taken_for_ours() -> None:
    event = parse_event("change connection name:web1 peer-node-id:0 conn-name:peer role:Primary")

    assert event is not None
    assert (event.role, event.peer_role) == (None, "Primary")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", None),
        ("exists -", Event("exists", "-", {})),
        ("- skipped 3", Event("lost", "skipped", {})),
    ],
)
def test_lines_that_speak_of_no_object(line: str, expected: Any) -> None:
    assert parse_event(line) == expected


def test_changes_are_drawn_into_the_picture() -> None:
    drawn = picture(parse_event(line) for line in drbd_output.VERIFYING.splitlines())
    assert drawn.status("web1").is_verifying  # type: ignore[union-attr]

    for line in drbd_output.PARTED.splitlines():
        event = parse_event(line)
        assert event is not None
        drawn.see(event)

    status = drawn.status("web1")
    assert status is not None
    assert (status.connection, status.replication, status.disk) == (
        "StandAlone",
        "Off",
        "UpToDate",
    )


def test_a_destroyed_resource_leaves_the_picture() -> None:
    drawn = Picture()
    drawn.see(Event("exists", "resource", {"name": "web1", "role": "Primary"}))

    drawn.see(Event("destroy", "resource", {"name": "web1"}))

    assert drawn.status("web1") is None
    assert drawn.statuses() == {}


OURS = "E9178F8EF7C72C78:CB552965361AF9B0:A4C02074CD9EEDF7:F5C4D061739AA590:1:1:0:0:0:1:0"
THEIRS = "CE8C7DC5397BEF57:CB552965361AF9B0:A4C02074CD9EEDF6:F5C4D061739AA590:1:1:1:0:0:1:0"
CLEAN = "388FC162592D5154:0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0"
OUTDATED = "388FC162592D5154:0000000000000000:0000000000000000:0000000000000000:1:0:0:0:0:0:0"
# `primary --force` of a stale replica begins two generations at once.
FORCED = "33088155027C8682:086215AC2CF72B57:A4C02074CD9EEDF7:F5C4D061739AA590:1:1:0:0:0:1:0"
GROWN = "33088155027C8682:086215AC2CF72B57:CB552965361AF9B0:E9178F8EF7C72C78:1:1:0:0:0:1:0"
CRASHED = "55246085B396E62E:CB552965361AF9B0:A4C02074CD9EEDF7:F5C4D061739AA590:1:1:0:0:0:1:1"


def test_generations_are_four_uuids_and_flags() -> None:
    seen = parse_generations("\n" + OURS + "\n")

    assert seen == Generations(
        current=0xE9178F8EF7C72C78,
        bitmap=0xCB552965361AF9B0,
        history=(0xA4C02074CD9EEDF7, 0xF5C4D061739AA590),
        consistent=True,
        up_to_date=True,
    )
    assert not parse_generations(OUTDATED).up_to_date
    assert parse_generations(CRASHED).crashed and not seen.crashed


@pytest.mark.parametrize(
    ("story", "mine", "theirs", "split"),
    [
        ("both wrote while they were apart", OURS, THEIRS, True),
        ("one wrote", OURS, CLEAN, False),
        ("nobody wrote", CLEAN, CLEAN, False),
        ("they differ by the primary bit alone", OURS, OURS.replace("C78:", "C79:"), False),
        (
            "the bitmaps differ by the primary bit",
            OURS,
            THEIRS.replace("9B0:A4", "9B1:A4"),
            True,
        ),
        ("they never were one", CLEAN, CLEAN.replace("388F", "488F"), False),
        ("one was forced, and forgot what both had", FORCED, THEIRS, True),
        ("one grew out of the other long ago", OURS, GROWN, False),
    ],
)
def test_a_split_brain_is_told_by_the_generations(
    story: str, mine: str, theirs: str, split: bool
) -> None:
    found = have_split(parse_generations(mine), parse_generations(theirs))

    assert (story, found) == (story, split)


def test_options_are_read_without_the_secret() -> None:
    options = parse_options(drbd_output.SHOWN)

    assert options["allow-two-primaries"] == "yes"
    assert options["resync-rate"] == "204800k"
    assert options["cram-hmac-alg"] == "sha256"
    assert options["cpu-mask"] == ""
    assert "shared-secret" not in options
    assert "s3cr3t" not in str(options)
