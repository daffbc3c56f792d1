"""Saved states of VMs: looked for on other nodes, given up here, and marks kept up to date."""

import logging

from msgspec import Struct

from mcv.document.subject import Subject
from mcv.drivers.domain_reading import SavedState, mark_of
from mcv.errors import Busy, McvError
from mcv.host import Host
from mcv.rules.domain import ACTIVE
from mcv.system.answers import decoded
from mcv.vm import defining

log = logging.getLogger(__name__)

PATIENCE = 5.0  # s that another node has to say what is saved there


class _Saved(Struct, frozen=True):
    """The part of a node's report that tells which VMs have a saved state there."""

    saved: dict[str, SavedState] = {}


def elsewhere(host: Host, name: str, node: str) -> SavedState | None:
    """The saved state of a VM on another node. Raises McvError where the node does not tell."""
    answer = host.call(node, "node.report", timeout=PATIENCE)
    return decoded(node, "node.report", answer, _Saved).saved.get(name)


def renew_marks(host: Host) -> None:
    """Have each VM that runs here bear its present incarnation, which its saved state will tell.

    Plans do this as a step. What is left are incarnations that no plan raised, and plans that
    were given up half-way.
    """
    cluster = host.read()
    for name in host.marked.keys() - cluster.vms.keys():
        host.marked.pop(name, None)
    for name, state in host.domains.states().vms.items():
        vm = cluster.vms.get(name)
        if vm is None or vm.node != host.name or vm.claim is not None or state not in ACTIVE:
            continue
        if host.marked.get(name) == vm.incarnation:
            continue
        try:
            with host.hold(Subject.vm(name), f"mark {name}", timeout=0):
                _renew_mark(host, name, vm.incarnation)
        except Busy:
            continue
        except McvError as error:
            log.warning("marking %s: %s", name, error)
            continue
        host.marked[name] = vm.incarnation


def _renew_mark(host: Host, name: str, incarnation: int) -> None:
    mark = mark_of(host.domains.xml(name))
    if mark is not None and mark.incarnation != incarnation:
        defining.define(host, name)


# Steps of plans: the dispatcher holds the lock and has checked the claim.


def discard(host: Host, name: str) -> None:
    """Give the saved state up; harmless where there is none."""
    host.domains.saved.discard(name)
