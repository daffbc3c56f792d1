"""Split brains: how the generations of both replicas tell one, and the words for it."""

from collections.abc import Mapping

from mcv.document.model import Vm
from mcv.drivers.drbd_status import Generations, have_split
from mcv.errors import Refused
from mcv.rules.replica_state import ReplicaState

States = Mapping[str, ReplicaState | None]  # by node; None where it is not known, or not up


def of(states: States) -> list[str]:
    """The two nodes of a split brain; empty where there is none, or it cannot be told.

    A split brain needs one side that is StandAlone and generations of both sides that grew
    out of the same one, neither out of the other.
    """
    known = [
        (node, state.generations)
        for node, state in sorted(states.items())
        if state is not None and not state.connected and state.generations is not None
    ]
    if len(known) != 2 or not any(state.is_standalone for state in states.values() if state):
        return []
    (first, ours), (second, theirs) = known
    return [first, second] if have_split(ours, theirs) else []


def newer(states: States) -> str | None:
    """The node whose data grew out of the other's; None where neither did, or it is not known."""
    (first, ours), (second, theirs) = (
        (node, _generations(state)) for node, state in states.items()
    )
    if ours is None or theirs is None:
        return None
    if ours.data in theirs.past:
        return second
    return first if theirs.data in ours.past else None


def _generations(state: ReplicaState | None) -> Generations | None:
    return state.generations if state else None


def why_not_join(vm: Vm, disk: str, states: States, source: str) -> Refused | None:
    """What forbids to connect the replicas of a disk, in words, so that source's data counts.

    Connected, the kernel copies from the replica that was written since: nothing is chosen.
    """
    if split := of(states):
        return refusal(vm, disk, split)
    up = [state for state in states.values() if state is not None]
    if len(up) < len(states) or not any(state.is_standalone for state in up):
        return Refused(f"The replicas of {disk} are not connected.", "See: mcv drbd list")
    newest = newer(states)
    if newest not in (None, source):
        return Refused(
            f"{newest} holds what was written while the replicas of {disk} were apart.",
            f"mcv resync {vm.name} --source {newest}",
        )
    state = states[source]
    if state is None or not state.disk.is_promotable:
        seen = state.disk if state else "unknown"
        return Refused(f"The replica of {disk} on {source} is {seen}: it cannot be the source.")
    return None


def sentence(disk: str, split: list[str]) -> str:
    return f"split brain of {disk}: {' and '.join(split)} were both Primary since they parted"


def command(vm: Vm) -> str:
    return f"mcv drbd resolve {vm.name} --keep NODE"


def refusal(vm: Vm, disk: str, split: list[str]) -> Refused:
    return Refused(f"There is a {sentence(disk, split)}.", f"Say whose data stays: {command(vm)}")
