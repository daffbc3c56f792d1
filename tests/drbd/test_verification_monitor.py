"""How a verification ended, told by the events of the kernel alone."""

import pytest

from mcv.drbd.verification_monitor import End, follow
from mcv.drivers.drbd_status import parse_event

PEER = "peer-device name:web1 peer-node-id:0 conn-name:peer volume:0"
LINK = "connection name:web1 peer-node-id:0 conn-name:peer"
BEGUN = f"change {PEER} replication:VerifyS received:0 sent:0 out-of-sync:0"
ENDED = f"change {PEER} replication:Established received:0 sent:0 out-of-sync:0"
FOUND = ENDED.replace("out-of-sync:0", "out-of-sync:8")
FINDS = BEGUN.replace("out-of-sync:0", "out-of-sync:8")
LOST = f"change {LINK} connection:Timeout role:Unknown"
EXISTS = [f"exists {LINK} connection:Connected role:Secondary", f"exists {PEER} {'{}'}", "exists -"]


def existing(replication: str = "Established") -> list[str]:
    return [line.format(f"replication:{replication} peer-disk:UpToDate") for line in EXISTS]


@pytest.mark.parametrize(
    ("story", "news", "end"),
    [
        ("a whole one", [BEGUN, ENDED], End(True, 0)),
        ("one that found something", [BEGUN, FOUND], End(True, 8192)),
        ("what was found stays found", [BEGUN, FINDS, ENDED], End(True, 8192)),
        ("nothing began", [ENDED], End(False, 0, unseen=True)),
        ("the stream is lost", [BEGUN], End(False, 0, unseen=True)),
        ("a part of the stream is lost", [BEGUN, "- skipped 5"], End(False, 0, unseen=True)),
        ("the link is lost", [BEGUN, LOST, ENDED], End(False, 0)),
        (
            "a disk is detached",
            [BEGUN, "change device name:web1 volume:0 minor:100 disk:Failed", ENDED],
            End(False, 0),
        ),
        ("the peer's disk is", [BEGUN, f"change {PEER} peer-disk:Failed", ENDED], End(False, 0)),
        (
            "a resync comes instead",
            [BEGUN, ENDED.replace("Established", "WFBitMapS")],
            End(False, 0),
        ),
        ("the resource goes", [BEGUN, "destroy resource name:web1"], End(False, 0)),
    ],
)
def test_it_is_finished_only_if_nothing_else_happened(
    story: str, news: list[str], end: End
) -> None:
    read = (parse_event(line) for line in [*existing(), *news])
    events = [event for event in read if event is not None and event.verb != "lost"]

    assert follow(events) == end, story


@pytest.mark.parametrize(
    ("story", "replication", "news", "end"),
    [
        ("it goes on to its end", "VerifyS", [ENDED], End(True, 0)),
        ("it had ended meanwhile", "Established", [BEGUN, ENDED], End(False, 0, unseen=True)),
        ("the link was lost meanwhile", "Off", [ENDED], End(False, 0, unseen=True)),
    ],
)
def test_one_that_was_under_way_counts_only_where_it_still_is(
    story: str, replication: str, news: list[str], end: End
) -> None:
    read = [parse_event(line) for line in [*existing(replication), *news]]

    assert follow([event for event in read if event], under_way=True) == end, story
