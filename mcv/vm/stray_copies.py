"""Stepping aside: a copy that the document gives to another node is paused, never destroyed."""

import logging

from mcv.drivers.libvirt_saved import SAVED
from mcv.errors import McvError
from mcv.host import Host

log = logging.getLogger(__name__)


def is_settled(host: Host) -> bool:
    """Step aside; whether nothing is left that runs here and belongs elsewhere."""
    step_aside(host)
    states = host.domains.states().vms
    cluster = host.read()
    return not any(
        state == "running" and name in cluster.vms and cluster.vms[name].node != host.name
        for name, state in states.items()
    )


def step_aside(host: Host) -> list[str]:
    """Pause what runs here and belongs elsewhere; forget definitions of what is elsewhere.

    A foreign domain that has the name of a VM is left alone. A claim of an operation in this
    node's journal decides first: its domain is left alone. Answers the names of what was
    paused. The paused copy and its volumes stay, for a human; so does a saved copy.
    """
    paused = []
    seen = host.domains.states()
    # Later than the states: what has arrived meanwhile is this node's by then.
    cluster = host.read()
    for name, domain in seen.foreign.items():
        log.warning("the domain %s here is not the VM %s: it is left alone", domain.name, name)
    for name, state in seen.vms.items():
        vm = cluster.vms.get(name)
        if vm is None or vm.node == host.name:
            continue
        if any(name in known.vms and known.vms[name].claim for known in host.both()):
            continue
        try:
            if state == "running":
                host.domains.pause(name)
                paused.append(name)
                log.error("%s belongs to %s: the copy here is paused", name, vm.node)
                host.tell("copy that lost paused", name, f"it belongs to {vm.node}")
            elif state != SAVED and not host.domains.is_active(name):
                host.domains.undefine(name)
        except McvError as error:
            log.error("stepping aside with %s: %s", name, error)
    return paused
