"""What the check finds of etcd's voters."""

import pytest

from mcv.check import etcd, runner
from mcv.check.finding import ClusterSnapshot
from mcv.cluster import etcd_store
from mcv.drivers.etcd_local import VoterShown
from mcv.etcd.config import QUOTA
from mcv.system.answers import plain
from tests.documents import document
from tests.fakes.cluster import FakeCluster

WELL = [VoterShown(name=name, state="voter", fsync_ms=2.0, size=4096) for name in ("n1", "n2")]


def judged(*voters: VoterShown) -> list[tuple[str, str, str]]:
    scene = ClusterSnapshot("n1", document("n1"), "", (), {}, {}, {}, {}, voters)
    return [(str(each.severity), each.node, each.message) for each in etcd.judge(scene)]


def third(**values: object) -> VoterShown:
    return VoterShown(**{"name": "n3", "state": "voter", **values})  # type: ignore[arg-type]


STORIES = [
    ("all is well", {"fsync_ms": 99.0}, "", ""),
    ("away", {"state": "unreachable"}, "error", "no other voter may fail"),
    ("a quarter full", {"size": QUOTA // 4}, "warning", "is 25% full"),
    ("half full", {"size": QUOTA // 2}, "error", "is 50% full"),
    ("full", {"state": "full", "size": 1}, "error", "takes no change"),
    ("a slow disk", {"fsync_ms": 128.0}, "warning", "waits 128 ms for its disk"),
]


@pytest.mark.parametrize(("story", "values", "severity", "word"), STORIES)
def test_a_voter(story: str, values: dict[str, object], severity: str, word: str) -> None:
    found = judged(*WELL, third(**values))

    assert [each[:2] for each in found] == ([(severity, "n3")] if severity else [])
    assert all(word in each[2] for each in found)


def test_of_five_voters_one_may_be_away_and_another() -> None:
    others = [VoterShown(name=name, state="voter") for name in ("n4", "n5")]

    assert judged(*WELL, *others, third(state="unreachable")) == [
        ("warning", "n3", "etcd on n3 does not answer.")
    ]


def test_voters_are_looked_at_where_the_document_lies_in_etcd(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [*WELL, third(state="unreachable")]
    for door in three.etcd_of.values():
        monkeypatch.setattr(door, "shown", lambda voters: gone)

    def subjects() -> list[str]:
        findings = plain(runner.check(three.hosts["n1"]))["findings"]
        return [row["node"] for row in findings if row["subject"] == "etcd"]

    assert subjects() == []
    three.run("n1", etcd_store.to_etcd)
    assert subjects() == ["n3"]
