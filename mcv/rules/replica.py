"""The judge of a replica pair: what is wrong with it, and may the VM start or move on it.

start, migrate, list, info and check ask here, so that no two of them disagree. A verb gathers
the values; whether a replica may be promoted without its owner is asked in takeover.
"""

from collections.abc import Iterator
from enum import StrEnum

from mcv.document.model import Vm
from mcv.errors import Refused
from mcv.rules import split_brain
from mcv.rules.finding import Finding, Severity
from mcv.rules.replica_pair import Replica, ReplicaPair
from mcv.rules.replica_state import ReplicaState


class Kind(StrEnum):
    """What a finding about replicas is about."""

    VERIFICATION = "verification"
    NOT_UP = "not up"
    DISK = "disk"
    SUSPENDED = "suspended"
    SPLIT_BRAIN = "split brain"
    STANDALONE = "standalone"
    NOT_CONNECTED = "not connected"
    AWAY = "away"
    TWO_PRIMARIES = "two primaries"
    WORKING = "working"
    OUT_OF_SYNC = "out of sync"
    REPLACED = "replaced"


class ReplicaFinding(Finding, frozen=True, kw_only=True):
    """A finding about one replica, on `node`, or about the pair, on the VM's owner."""

    kind: Kind
    node: str


# May the VM start or move?


def why_not_start(pair: ReplicaPair, me: str, ignore_verify: bool = False) -> Refused | None:
    """What forbids a start on this node; None where nothing does.

    A start needs the disk here UpToDate, no failed verification and no split brain. Consistent
    suffices where the peer is offline in the document. Of a peer that is away the fence-peer
    handler decides, which the kernel asks at the promotion.
    """
    vm, state = pair.vm, pair.state(me)
    if pair.is_blocked and not ignore_verify:
        return verify_problem(vm)
    if state is None:
        return Refused(f"{pair.disk.resource} is not up on {me}.", f"Try: mcv register {vm.name}")
    problem = _why_apart(pair, me, state)
    if problem is not None:
        return problem
    peer = vm.other(me)
    is_last = state.disk.is_promotable and not pair.is_online(peer)
    if state.up_to_date or is_last:
        return None
    return Refused(
        f"The replica of {pair.name} on {me} is {state.disk}.",
        f"It has to be resynced from {peer}: mcv resync {vm.name} --source {peer}"
        + (f"; or move it: mcv migrate --node {peer} {vm.name}" * state.is_detached),
    )


def why_not_move(pair: ReplicaPair, me: str, ignore_verify: bool = False) -> Refused | None:
    """What forbids a migration away from this node; None where nothing does.

    A migration needs what a start needs, and both replicas UpToDate and connected. A VM whose
    disk here is detached may go to where its other replica is.
    """
    vm, state = pair.vm, pair.state(me)
    if state and state.is_detached and state.connected and state.peer_disk.is_up_to_date:
        return verify_problem(vm) if pair.is_blocked and not ignore_verify else None
    problem = why_not_start(pair, me, ignore_verify)
    if problem is not None or state is None:
        return problem
    is_syncing = state.replication.is_syncing
    if not (state.replication.keeps_in_step or is_syncing):
        return Refused(
            f"The replicas of {pair.name} are not connected "
            f"({pair.disk.resource}: {state.connection}).",
            "See: mcv drbd list",
        )
    if is_syncing or not state.peer_disk.is_up_to_date:
        return Refused(
            f"The other replica of {pair.name} is {state.peer_disk}, not UpToDate.",
            "Wait for the resync, see: mcv drbd list",
        )
    return None


def needs_both_sides(state: ReplicaState | None, peer_is_online: bool) -> bool:
    """Whether a start hangs on what the peer holds: the verb then asks it.

    What a peer that is offline in the document wrote stays on its disk, and shows when it is
    back.
    """
    return state is not None and not state.connected and peer_is_online


def _why_apart(pair: ReplicaPair, me: str, state: ReplicaState) -> Refused | None:
    """What a lost connection forbids: a split brain, or a replica disconnected on purpose."""
    vm = pair.vm
    if not needs_both_sides(state, pair.is_online(vm.other(me))):
        return None
    if split := pair.split:
        return split_brain.refusal(vm, pair.name, split)
    if not state.is_standalone:
        return None
    alone = f"The replica of {pair.name} on {me} stands alone: it was disconnected"
    unknown = [node for node, side in pair.replicas.items() if side.state is None]
    if unknown:
        return Refused(
            f"{alone}, or this is a split brain; {' and '.join(unknown)} does not say.",
            "; ".join(map(pair.advice, unknown)),
        )
    return Refused(
        f"{alone}.",
        f"See both sides with: mcv drbd list; join them with: mcv resync {vm.name} --source NODE",
    )


def verify_problem(vm: Vm) -> Refused:
    return Refused(
        f"The last verification of {vm.name} failed, so its replicas may differ.",
        f"First: mcv resync {vm.name}, then: mcv verify {vm.name} "
        "(or once, at your own risk: --ignore-verify)",
    )


# What is wrong?

Findings = Iterator[ReplicaFinding]


def findings(pair: ReplicaPair) -> list[ReplicaFinding]:
    """Everything about a pair that is not as it should be, in no order."""
    found = [*_verification(pair), *_replaced(pair)]
    if pair.is_enabled:
        for node, side in pair.replicas.items():
            found += [*_side(pair, node, side)]
        found += [*_suspended(pair), *_apart(pair), *_primaries(pair), *_work(pair)]
    return found


def _found(
    pair: ReplicaPair, severity: Severity, kind: Kind, message: str, hint: str, node: str = ""
) -> ReplicaFinding:
    return ReplicaFinding(
        severity=severity, kind=kind, node=node or pair.vm.node, message=message, hint=hint
    )


def _verification(pair: ReplicaPair) -> Findings:
    mark, name = pair.disk.verification, pair.vm.name
    verify, kind = f"mcv verify {name}", Kind.VERIFICATION
    is_running = pair.is_verified or any(state.is_verifying for state in pair.states.values())
    if pair.is_noted or (mark.blocked and mark.result == "out-of-sync"):
        amount = f", {mark.out_of_sync} bytes differ" if mark.out_of_sync else ""
        message = (
            f"The last verification of {pair.name} failed{amount}; start and migration are blocked."
        )
        yield _found(pair, Severity.ERROR, kind, message, f"mcv resync {name}, then: {verify}")
    elif mark.blocked:
        message = f"{name} was not verified clean since a verification failed; start and migration "
        yield _found(pair, Severity.ERROR, kind, f"{message}are blocked.", verify)
    elif mark.result == "never":
        yield _found(pair, Severity.NOTE, kind, f"{name} was never verified.", verify)
    elif mark.result == "interrupted" or (mark.result == "running" and not is_running):
        message = f"The last verification of {name} was interrupted: it proves nothing."
        yield _found(pair, Severity.WARNING, kind, message, verify)


def _replaced(pair: ReplicaPair) -> Findings:
    """A replica that moves: until the new one is whole the owner's is the only one."""
    vm, disk = pair.vm, pair.disk
    for source in disk.former:
        message = (
            f"{pair.name} has one replica, on {vm.node}: the one on {source} is replaced by one on "
            f"{disk.other(vm.node)}."
        )
        hint = f"mcv job wait {vm.claim.operation}" if vm.claim else "mcv drbd list"
        yield _found(pair, Severity.WARNING, Kind.REPLACED, message, hint)


def _side(pair: ReplicaPair, node: str, side: Replica) -> Findings:
    """What is wrong with one replica by itself."""
    vm, state = pair.vm, side.state
    if state is None:
        if not side.silent:
            message = f"{pair.disk.resource} of {vm.name} is not up on {node}."
            hint = "mcv cluster check --fix"
            yield _found(pair, Severity.ERROR, Kind.NOT_UP, message, hint, node)
        return
    other = pair.disk.other(node)
    is_last = state.disk.is_promotable and not pair.is_online(other)
    is_fine = state.up_to_date or state.disk.is_transient or is_last
    if not is_fine and not state.replication.is_syncing:
        message = f"{pair.name}'s replica on {node} is {state.disk}."
        hint = _disk_hint(vm, node, state)
        yield _found(pair, Severity.ERROR, Kind.DISK, message, hint, node)


def _suspended(pair: ReplicaPair) -> Findings:
    """I/O that stands still: the guest runs, and nothing that it writes or reads comes back."""
    for node, state in pair.states.items():
        if state.is_suspended:
            why, hint = _why_suspended(pair, node, state)
            message = f"I/O is suspended: {pair.name} on {node} {why}."
            yield _found(pair, Severity.ERROR, Kind.SUSPENDED, message, hint, node)


def _why_suspended(pair: ReplicaPair, node: str, state: ReplicaState) -> tuple[str, str]:
    other = pair.disk.other(node)
    if not state.waits_for_fencing:
        how = f"drbdadm resume-io {pair.disk.resource}" * ("user" in state.suspended)
        return f"was stopped by {state.suspended}", how or f"bring {other} back: mcv info"
    if not pair.is_online(other):
        return (
            f"waits until mcvd there has told the kernel that {other} is offline",
            f"a minute, then: mcv info {pair.vm.name}",
        )
    return (
        f"waits until the state of {other} is known",
        pair.advice(other),
    )


def _disk_hint(vm: Vm, node: str, state: ReplicaState) -> str:
    resync = f"mcv resync {vm.name} --source {vm.other(node)}"
    if state.is_detached:
        return f"after an I/O error see dmesg on {node}; when its disk is well again: {resync}"
    return resync if state.disk.needs_resync else "mcv drbd list"


def _apart(pair: ReplicaPair) -> Findings:
    """What is wrong with the connection of the two."""
    vm, split, states = pair.vm, pair.split, pair.states
    if split:
        message = f"{split_brain.sentence(pair.name, split)}."
        yield _found(pair, Severity.ERROR, Kind.SPLIT_BRAIN, message, split_brain.command(vm))
    for node, state in states.items():
        if state.is_standalone and node not in split:
            message = f"{pair.name}'s replica on {node} is StandAlone."
            hint = f"mcv resync {vm.name} --source NODE, with the node whose data is right"
            yield _found(pair, Severity.ERROR, Kind.STANDALONE, message, hint, node)
    looking = [state for state in states.values() if not state.connected]
    if not looking or any(state.is_standalone for state in looking):
        return
    away = [side for side in pair.replicas.values() if side.silent or not side.is_online]
    if away:
        if len(looking) == len(states):
            yield from (_away(pair, side) for side in away)
    elif states and len(states) == len(pair.replicas) and vm.claim is None:
        connection = looking[0].connection
        message = (
            f"The replicas of {pair.name} on {' and '.join(sorted(states))} do not find each other "
            f"({connection})."
        )
        hint = f"are the DRBD addresses right, and is port {pair.disk.port} open? mcv info"
        yield _found(pair, Severity.ERROR, Kind.NOT_CONNECTED, message, hint)


def _away(pair: ReplicaPair, side: Replica) -> ReplicaFinding:
    """No other replica is in contact with one whose node is offline or does not say."""
    name, node = pair.name, side.node
    if not side.is_online:
        message = f"{name}'s replica on {node} is away: {node} is offline."
        return _found(pair, Severity.NOTE, Kind.AWAY, message, f"bring {node} back: mcv info", node)
    message = f"{name}'s replica on {node} is away: {side.silent.rstrip('.')}."
    return _found(pair, Severity.ERROR, Kind.AWAY, message, pair.advice(node), node)


def _primaries(pair: ReplicaPair) -> Findings:
    primary = [node for node, state in pair.states.items() if state.is_primary]
    if len(primary) > 1 and pair.vm.claim is None:
        message = (
            f"{pair.disk.resource} is Primary on {' and '.join(primary)}, and no migration is "
            "under way."
        )
        hint = f"stop what runs where {pair.vm.name} does not belong: mcv info {pair.vm.name}"
        yield _found(pair, Severity.ERROR, Kind.TWO_PRIMARIES, message, hint)


def _work(pair: ReplicaPair) -> Findings:
    """A resync or a verification under way; else blocks that are known to differ."""
    states = pair.states
    working = next(((node, state) for node, state in states.items() if state.is_working), None)
    if working is not None:
        node, state = working
        what = "verification" if state.is_verifying else "sync"
        done = "" if state.done is None else f", {state.done:.0f}% done"
        message = f"A {what} of {pair.disk.resource} is under way ({state.replication}{done})."
        yield _found(pair, Severity.NOTE, Kind.WORKING, message, "mcv drbd list", node)
        return
    differing = max((state.out_of_sync for state in states.values() if state.connected), default=0)
    if differing and not pair.is_blocked:
        message = f"{differing} bytes of {pair.disk.resource} are out of sync."
        hint = f"mcv resync {pair.vm.name}"
        yield _found(pair, Severity.WARNING, Kind.OUT_OF_SYNC, message, hint)
