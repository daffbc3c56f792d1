"""The faults that `make soak-ha` draws: the same by the same seed, none that cannot hold."""

from itertools import islice

import pytest

from tests.lab.ha.schedule import (
    AT_ONCE,
    LATEST,
    LONGEST,
    SHORTEST,
    Fault,
    Kind,
    Turn,
    moments,
    turns,
)

NODES = ("node1", "node2", "node3")


def drawn(seed: int, count: int = 400, first: int = 1) -> list[Turn]:
    return list(islice(turns(seed, NODES, first), count))


def test_a_seed_draws_the_same_turns_and_another_one_others() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7, 20) != drawn(8, 20)


def test_a_run_can_begin_with_any_of_its_turns() -> None:
    assert drawn(7, 5, first=31) == drawn(7, 35)[30:]


def test_everything_befalls_everybody() -> None:
    faults = [fault for turn in drawn(1) for fault in turn.faults]

    befallen = {(fault.kind, fault.node) for fault in faults}
    wanted = {(kind, node) for kind in Kind for node in NODES if kind is not Kind.DEVICE}
    assert befallen == {*wanted, (Kind.DEVICE, "")}
    assert {len(turn.faults) for turn in drawn(1)} == {1, 2, 3}


def test_a_node_has_one_fault_in_a_turn() -> None:
    for turn in drawn(2):
        hit = [fault.node for fault in turn.faults if fault.node]
        assert len(hit) == len(set(hit)), turn


def test_no_host_is_frozen_while_the_fence_device_hangs() -> None:
    kinds = [[fault.kind for fault in turn.faults] for turn in drawn(3, 3000)]

    assert not [each for each in kinds if Kind.FREEZE in each and Kind.DEVICE in each]
    assert all(each.count(Kind.DEVICE) <= 1 for each in kinds)


def test_faults_begin_soon_and_last_for_a_while() -> None:
    for turn in drawn(4):
        assert [fault.after for fault in turn.faults] == sorted(f.after for f in turn.faults)
        for fault in turn.faults:
            assert 0 <= fault.after <= LATEST
            assert (fault.lasts == 0) == (fault.kind in AT_ONCE)
            assert fault.lasts == 0 or SHORTEST <= fault.lasts <= LONGEST


def test_beginnings_and_ends_come_in_their_order() -> None:
    cut = Fault(Kind.CUT, "node1", after=2.0, lasts=5.0)
    killed = Fault(Kind.KILL_MCVD, "node2", after=4.0, lasts=0.0)
    frozen = Fault(Kind.FREEZE, "node3", after=7.0, lasts=3.0)

    found = moments(Turn(1, (cut, killed, frozen)))

    assert [(each.at, each.fault.node, each.is_end) for each in found] == [
        (2.0, "node1", False),
        (4.0, "node2", False),
        (7.0, "node3", False),
        (7.0, "node1", True),
        (10.0, "node3", True),
    ]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(Kind.KILL, "node1", 0.0, 12.3), "node1 is killed for 12 s"),
        (Fault(Kind.KILL_ETCD, "node1", 0.0, 0.0), "etcd is killed on node1"),
        (Fault(Kind.STOP_LEASE, "node2", 0.0, 4.0), "mcv-lease is stopped on node2 for 4 s"),
        (Fault(Kind.DEVICE, "", 0.0, 30.0), "the fence device hangs for 30 s"),
    ],
)
def test_a_fault_is_told_in_words(fault: Fault, words: str) -> None:
    assert fault.words == words
