"""What DRBD's kernel module is answered on an unarmed node: by the document, without a daemon."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mcv import printable
from mcv import settings as settings_module
from mcv.document import place
from mcv.document.arms import has_leases, waits_for_shot
from mcv.document.model import Cluster, decode
from mcv.drbd import handler_lock, notes, pair_handler
from mcv.drivers.drbd_states import DiskState, Role
from mcv.errors import McvError, NotPermitted
from mcv.ha import handler_facts
from mcv.settings import Settings
from mcv.timestamps import timestamp

REFUSE = 1
INCONSISTENT = 3
OUTDATED = 4
UNREACHABLE = 5
FENCED = 7

ASK = 6.0  # s; one call to the peer's daemon
# s; the peer's kernel notices the loss by its own pings: ping-int 10, ping-timeout 3, a margin.
NOTICE = 20.0

Outdate = Callable[[str], dict[str, str]]  # (peer) -> its replica's disk and role


def verdict(me: str, resource: str, documents: list[Cluster], outdate: Outdate) -> tuple[int, str]:
    """What to tell the kernel when a peer of a resource is away, and why.

    The committed document and the proposal must both say that this node owns the VM. A peer
    that both call offline is as good as fenced. Any other peer is asked over the cluster
    address to outdate its replica; where it cannot be reached, the operator's policy says
    whether this node goes on alone, which leaves a note; what is managed on two armed nodes waits
    in any case, until the peer is declared offline. A peer that answers and calls another
    node the owner has not outdated its replica, and may have given it away: refused.
    """
    peers = set()
    offline = []
    policy = "continue"
    for cluster in documents:
        vm, disk = cluster.by_resource(resource)
        if vm.node != me:
            return REFUSE, f"{vm.name} belongs to {vm.node}"
        peer = next(node for node in disk.places if node != me)
        peers.add(peer)
        offline.append(peer not in cluster.online)
        waits = policy == "wait" or waits_for_shot(cluster, vm.name)
        policy = "wait" if waits else cluster.drbd.on_peer_loss
    if len(peers) != 1:
        return REFUSE, "the documents do not agree on the peer"
    peer = peers.pop()
    if all(offline):
        return FENCED, f"{peer} is offline in the document"
    try:
        answer = outdate(peer)
    except NotPermitted as error:
        return REFUSE, f"{peer} answers: {error.message}"
    except McvError as error:
        why = f"{peer} cannot be reached: {error.message}"
        return (REFUSE if policy == "wait" else UNREACHABLE), why
    if Role(answer["role"]).is_primary:
        return REFUSE, f"{peer} is primary"
    disk_there = DiskState(answer["disk"])
    if disk_there.is_outdated:
        return OUTDATED, f"{peer} has outdated its replica"
    if disk_there.is_unusable:
        return INCONSISTENT, f"the replica on {peer} is {disk_there}"
    return REFUSE, f"the replica on {peer} is {disk_there} and would not be outdated"


def read_documents(state: Path) -> list[Cluster]:
    """The committed document and the proposal, straight from disk: no daemon is needed.

    The proposal is read first: a proposal committed in between is seen twice, not never.
    """
    try:
        proposal = [decode((state / "proposal.json").read_bytes())]
    except FileNotFoundError:
        proposal = []
    return [decode((state / "config.json").read_bytes()), *proposal]


def _note_alone(directory: Path, resource: str, why: str) -> None:
    """Note that this node goes on alone; a note that cannot be written holds no verdict up.

    The note is for people. A guest whose I/O stands still because a disk is full would wait
    for somebody who does not know of it.
    """
    try:
        notes.write(directory, resource, notes.ALONE, since=timestamp(), why=why)
    except (McvError, OSError) as error:
        _say(f"fence-peer {resource}: the note is not written: {error}")


def _settings(state: Path | None) -> Settings:
    """This node's settings; `state` is the directory that the resource file hands over.

    The host may have been renamed since. Nothing here needs its address, and a resolver may
    hang.
    """
    settings = settings_module.load(resolve=lambda _: "")
    return place.located(settings) if state is None else place.at(settings, state)


def fence_peer(resource: str, settings: Settings) -> int:
    """Answer the kernel's question whether to go on without the peer; writes down that it did."""
    facts = handler_facts.read(settings.state)
    if facts is not None and facts.decides(resource):
        return pair_handler.answer(resource, settings.state, facts)
    if any(has_leases(cluster) for cluster in read_documents(settings.state)):
        _say(f"fence-peer {resource}: {REFUSE}, armed, and {handler_facts.FILE} does not say how")
        return REFUSE
    with handler_lock.held(settings.handlers, resource):
        code, why = _judged(settings, resource)
        if code == UNREACHABLE:
            _note_alone(settings.notes, resource, why)
    _say(f"fence-peer {resource}: {code}, {why}")
    return code


def _judged(settings: Settings, resource: str) -> tuple[int, str]:
    """The verdict by the documents on disk, the peer's daemon asked where they leave it open."""
    documents = read_documents(settings.state)

    def outdate(peer: str) -> dict[str, str]:
        from mcv.rpc import pki
        from mcv.rpc.peers import Address, Peers

        node = documents[0].node(peer)
        address = Address(node.ip_address, settings.port, node.certificate)
        identity = pki.load(settings.node, settings.pki)
        wire = Peers(identity, lambda _: address, connect_timeout=ASK / 2)
        epoch = [documents[0].epoch.number, documents[0].epoch.id]
        until = time.monotonic() + NOTICE
        # Ask until the peer can do it: a replica that is still Connected there cannot be
        # outdated, and a peer that does not know yet that this node is the owner refuses.
        while True:
            is_last = time.monotonic() > until
            try:
                answer: dict[str, str] = wire.call(
                    peer, "drbd.outdate", {"resource": resource}, {"epoch": epoch}, ASK
                )
            except NotPermitted:
                if is_last:
                    raise
            else:
                if is_last or not DiskState(answer["disk"]).is_up_to_date:
                    return answer
            time.sleep(0.5)

    return verdict(settings.node, resource, documents, outdate)


def out_of_sync(resource: str, settings: Settings) -> int:
    """Leave a note that a verification which ended has found something: names only."""
    notes.write(settings.notes, resource, notes.OUT_OF_SYNC, when=timestamp())
    return 0


def unfence_peer(resource: str, settings: Settings) -> int:
    """The peer is in step again: this node is not alone any more."""
    notes.remove(settings.notes, resource, notes.ALONE)
    return 0


def _say(text: str) -> None:
    """A line for the kernel's log, whatever a peer or a tool is quoted with."""
    print(f"mcv: {printable.line(text)}", file=sys.stderr)


def main() -> None:
    """Called as `mcv-drbd-handler fence-peer|unfence-peer|out-of-sync STATE-DIRECTORY`; the
    resource is in the environment. Resource files of older versions name no directory."""
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    state = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    resource = os.environ.get("DRBD_RESOURCE", "")
    actions = {
        "fence-peer": fence_peer,
        "unfence-peer": unfence_peer,
        "out-of-sync": out_of_sync,
    }
    if kind not in actions or not resource:
        words = "|".join(actions)
        print(f"usage: DRBD_RESOURCE=… mcv-drbd-handler {words}", file=sys.stderr)
        sys.exit(REFUSE)
    try:
        sys.exit(actions[kind](resource, _settings(state)))
    except (McvError, OSError, ValueError, StopIteration) as error:
        _say(f"{kind} {resource}: {error}")
        sys.exit(REFUSE)


if __name__ == "__main__":
    main()
