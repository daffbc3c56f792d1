"""Promises in place of etcd: all members, and only while the lease is valid."""

import pytest

from mcv.ha.failsafe import is_due
from mcv.ha.timing import PACES, at_pace
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


@pytest.mark.parametrize("pace", PACES)
def test_a_round_is_due_before_a_lease_ends_and_not_after_one_lost_write(pace: int) -> None:
    periods = at_pace(pace)

    assert not is_due(periods.validity - 2 * periods.renewal, periods)
    assert is_due(periods.validity / 2, periods)
