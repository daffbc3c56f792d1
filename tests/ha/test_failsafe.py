"""Promises in place of etcd: all members, and only while the lease is valid."""

from typing import cast

import pytest

from mcv.ha.at_once import at_once
from mcv.ha.env import Answer, Entry, Env, Txn, Unchanged
from mcv.ha.failsafe import is_due, renew
from mcv.ha.timing import PACES, at_pace
from mcv.ha.values import Held
from tests.ha.sim import play
from tests.ha.world import World

SEEDS = range(1, 7)


def outages(world: World) -> list[list[str]]:
    """What was said while etcd was gone, each time that it was and came back."""
    found = []
    said: list[str] | None = None
    for line in world.log:
        if "etcd is gone" in line:
            said = []
        elif "etcd returns" in line and said is not None:
            found.append(said)
            said = None
        elif said is not None:
            said.append(line)
    return found


def is_undisturbed(said: list[str]) -> bool:
    """Whether nothing else befell the cluster, nor did the guest end by itself."""
    harmless = ("kills its guest", "etcd", "aimed", "is cut off", "the lease")
    return all(any(word in line for word in harmless) for line in said)


def is_killed(said: list[str]) -> bool:
    return any("kills its guest" in line for line in said)


def test_without_etcd_guests_run_on_while_all_members_answer() -> None:
    worlds = [play(seed, "etcd gone") for seed in SEEDS]
    quiet = [said for world in worlds for said in outages(world) if is_undisturbed(said)]

    assert not any(world.violation for world in worlds)
    assert len(quiet) > 3
    assert not any(is_killed(said) for said in quiet)


def test_without_one_member_there_are_no_promises() -> None:
    worlds = [play(seed, "etcd gone and apart") for seed in SEEDS]
    quiet = [said for world in worlds for said in outages(world) if is_undisturbed(said)]

    assert not any(world.violation for world in worlds)
    assert len(quiet) > 3
    assert all(is_killed(said) for said in quiet)


def test_one_member_that_reaches_etcd_renews_for_one_that_does_not() -> None:
    worlds = [play(seed, "reaches no etcd") for seed in SEEDS]
    quiet = [said for world in worlds for said in outages(world) if is_undisturbed(said)]

    assert not any(world.violation for world in worlds)
    assert len(quiet) > 3
    assert sum(world.relays for world in worlds) > 10
    assert not any(is_killed(said) for said in quiet)


def test_a_taking_that_comes_between_is_not_written_over() -> None:
    class Etcd:
        """A lease that is read, and is another by the time that it is written."""

        def __init__(self) -> None:
            self.asked: list[Txn] = []

        async def txn(self, txn: Txn) -> Answer:
            self.asked.append(txn)
            entries = {"lease/n1": Entry(Held("b", 3, 12, 8, 1, True).encode(), 5)}
            return Answer(not txn.compares, 9, entries)

    etcd = Etcd()

    assert not at_once(renew(cast(Env, etcd), "n1", "b"))
    assert etcd.asked[1].compares == (Unchanged("lease/n1", 5),)


@pytest.mark.parametrize("pace", PACES)
def test_a_round_is_due_before_a_lease_ends_and_not_after_one_lost_write(pace: int) -> None:
    periods = at_pace(pace)

    assert not is_due(periods.validity - 2 * periods.renewal, periods)
    assert is_due(periods.validity / 2, periods)
