"""What an armed node's fence-peer handler asks the peer's daemon: to outdate its replica."""

import functools
from enum import Enum, auto
from pathlib import Path

from mcv import settings as settings_module
from mcv.document import place
from mcv.document.model import Cluster, decode
from mcv.drivers.drbd_states import DiskState, Role
from mcv.errors import McvError, NotPermitted
from mcv.rpc import pki
from mcv.rpc.peers import Address, Peers

DOWN = "Unconfigured"  # what a node says of a resource that is not up there
ASK = 6.0  # s; one call to the peer's daemon


class Outdated(Enum):
    """What came of it."""

    YES = auto()  # the replica cannot be promoted
    NO = auto()  # it is written there
    GONE = auto()  # it is not in use there, and cannot be outdated: a mark tells that it is behind
    LATER = auto()  # the peer has not noticed yet, or does not know yet who is the owner
    SILENT = auto()


def outdated(me: str, state: Path, resource: str, peer: str) -> Outdated:
    """Ask the peer once to outdate its replica of a resource."""
    try:
        wire, epoch = _wire(me, state)
        answer = wire.call(peer, "drbd.outdate", {"resource": resource}, {"epoch": epoch}, ASK)
    except NotPermitted:
        return Outdated.LATER
    except McvError:
        return Outdated.SILENT
    return judged(answer["disk"], answer["role"])


def judged(disk: str, role: str) -> Outdated:
    """What the state of the peer's replica means.

    One that was detached, or is down, calls itself UpToDate when it is attached again, so no answer
    of its own says that it is behind. Nothing is gained by asking it again.
    """
    state = DiskState(disk)
    if Role(role).is_primary:
        return Outdated.NO
    if state.needs_resync:
        return Outdated.YES
    if state.is_detached or disk == DOWN:
        return Outdated.GONE
    return Outdated.LATER


@functools.cache
def _wire(me: str, state: Path) -> tuple[Peers, list[int | str]]:
    document = _document(state)
    settings = place.at(settings_module.load(resolve=lambda _: ""), state)

    def find(node: str) -> Address:
        member = document.node(node)
        return Address(member.ip_address, settings.port, member.certificate)

    identity = pki.load(me, settings.pki)
    epoch: list[int | str] = [document.epoch.number, document.epoch.id]
    return Peers(identity, find, connect_timeout=ASK / 2), epoch


def _document(state: Path) -> Cluster:
    return decode((state / "config.json").read_bytes())
