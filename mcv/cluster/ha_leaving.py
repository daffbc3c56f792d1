"""A host that goes down does with what high availability manages there as on-shutdown says."""

import logging

from mcv.document.model import Cluster
from mcv.errors import McvError
from mcv.host import Host
from mcv.rules import managed
from mcv.rules.domain import ACTIVE
from mcv.system import service_notes, systemd
from mcv.vm.moves_awaited import Leaving, Policy

log = logging.getLogger(__name__)


def leave(host: Host) -> Leaving:
    """Note that this host goes down, which the manager is told, and tell what is waited for.

    Without effect while the host does not go down. Raises McvError where systemd or libvirt does
    not answer.
    """
    if not host.managing.goes_down:
        host.managing.goes_down = host.is_going_down()
    cluster = host.read()
    if not (host.managing.goes_down and cluster.ha.armed and managed.entries_of(cluster)):
        return Leaving(policy="")
    policy = policy_of(cluster)
    staying = _staying(host, cluster) if policy == "migrate" else []
    return Leaving(
        policy=policy,
        is_known=host.managing.has_told,
        staying=staying,
        is_moving=any(_is_claimed(cluster, name) for name in staying),
    )


def policy(host: Host, cluster: Cluster, is_missing: bool) -> Policy:
    """What this host's shutdown does with its VMs; "" while it does not go down.

    Without the word of mcv-guests systemd is asked where a guest has ended (`is_missing`).
    """
    if not host.is_leaving and not _goes_down(host, is_missing):
        return ""
    return policy_of(cluster)


def _goes_down(host: Host, is_missing: bool) -> bool:
    if not (host.managing.goes_down or is_missing):
        return False
    try:
        host.managing.goes_down = host.is_going_down()
    except McvError as error:
        if not host.managing.goes_down:
            raise
        log.warning("whether this host still goes down is not known: %s", error)
    return host.managing.goes_down


def policy_of(cluster: Cluster) -> Policy:
    """The setting; `conditional` by what becomes of this host. Raises CommandFailed."""
    setting = cluster.ha.on_shutdown
    if setting != "conditional":
        return setting
    return "freeze" if systemd.host_is_rebooting() else "failover"


def _is_claimed(cluster: Cluster, name: str) -> bool:
    """Whether something is at work on it: the manager's order, or an operator's move."""
    service = cluster.services.get(name)
    return (service or cluster.vms[name]).claim is not None


def _staying(host: Host, cluster: Cluster) -> list[str]:
    """What is managed, belongs to this node and runs here: it is to move away."""
    states = host.domains.states().vms
    here = {name for name, state in states.items() if state in ACTIVE}
    here |= {note.name for note in service_notes.all_(host.settings.run)}
    owners = managed.owners_of(cluster)
    return sorted(
        name
        for name, entry in managed.entries_of(cluster).items()
        if name in here
        and owners.get(name) == host.name
        and entry.wanted == "started"
        and not entry.failed
    )
