"""What a node does in a move of the document to etcd or back: a step each, for its claim's node."""

import logging
import time

from mcv.document import etcd_voters
from mcv.document.etcd_voters import Terms, Voter
from mcv.errors import Busy, McvError
from mcv.host import Host

log = logging.getLogger(__name__)

START = 60.0  # s in which all voters have to be there: they begin together
HOLD = 30.0  # s in which all members have to hold the document that moved back
PAUSE = 0.3  # s between two looks


# Questions


def lacks(host: Host) -> list[str]:
    """Why this node cannot be a voter; nothing where it can."""
    unit = host.etcd.unit
    problems = []
    if not unit.is_installed:
        problems.append("It has no etcd: apt install etcd-server")
    if unit.has_lost_data:
        problems.append("Its etcd has lost its data: rm -r /var/lib/mcv/etcd")
    elif unit.is_there and host.read().store is None:
        problems.append("Files of an earlier etcd are still there; they go within seconds")
    return problems


def certificate(host: Host, node: str) -> str:
    """This node's certificate for etcd, made at the first question: its key, and its address."""
    return host.etcd.certificate(host.read().node(host.name).ip_address)


# Steps


def set_up(
    host: Host, node: str, id: str, members: dict[str, str], bundle: str, pace: int = 1
) -> None:
    """Write what etcd starts by; nothing is started."""
    certificate = host.etcd.certificate(members[host.name])
    voters = [
        Voter(name, address, certificate if name == host.name else "")
        for name, address in sorted(members.items())
    ]
    host.etcd.set_up(host.name, Terms(id, tuple(voters), bundle, pace), "new")


def start(host: Host, node: str) -> None:
    """Start etcd; it serves when the others have started too."""
    host.etcd.unit.start()


def await_voters(host: Host, node: str, voters: list[list[str]]) -> None:
    """Wait until etcd here answers for a majority, and all have started. Raises PeerUnreachable."""
    host.etcd.await_voters(host.name, [Voter(*voter) for voter in voters], START)


def discard(host: Host, node: str) -> None:
    """Stop etcd here and delete its data: the document lies elsewhere. Harmless when it is gone."""
    host.etcd.unit.discard()


def all_hold(host: Host, node: str) -> None:
    """Wait until every online member holds the document that moved back. Raises Busy."""
    until = time.monotonic() + HOLD
    while missing := _without(host):
        if time.monotonic() > until:
            raise Busy(
                f"{' and '.join(missing)} still holds the document as it lay in etcd.",
                f"etcd is stopped when that has changed. {host.advice(*missing)}",
            )
        time.sleep(PAUSE)


def _without(host: Host) -> list[str]:
    others = [name for name in host.read().online if name != host.name]
    answers = host.consensus.documents(others)
    return [
        name
        for name, document in answers.items()
        if isinstance(document, McvError) or document.store is not None
    ]


# What a node does by itself


def keep_room(host: Host) -> None:
    """Make room in etcd before it is full, where this node's leads: full, it takes no write."""
    cluster = host.read()
    if cluster.store is None or host.name not in cluster.store.voters:
        return
    try:
        if host.etcd.keep_room(host.name, etcd_voters.voters(cluster)):
            host.tell("room made in etcd")
    except McvError as error:
        log.warning("room in etcd: %s", error)


def tidy(host: Host) -> None:
    """Delete this node's etcd where the document is not in one, and no move is under way.

    The node was away, or an undone move did not reach it.
    """
    unit = host.etcd.unit
    if not unit.is_there or host.consensus.damage:
        return
    documents = host.both()
    own = [document.nodes.get(host.name) for document in documents]
    is_claimed = any(node is not None and node.claim is not None for node in own)
    if is_claimed or any(document.store is not None for document in documents):
        return
    log.info("the document does not lie in etcd: that of this node is deleted")
    unit.discard()
