"""What libvirt has on this host: the states of VMs' domains, and foreign domains in their way."""

from typing import Any

import msgspec

from mcv.drivers import libvirt_identity
from mcv.drivers.libvirt_connection import Connection, ignoring_missing, libvirt_module
from mcv.drivers.libvirt_identity import DomainStates, ForeignDomain, Marks
from mcv.drivers.libvirt_saved import SAVED

# What libvirt calls the states of a domain, in mcv's words, by libvirt's numbers. A domain
# that is shutting down still runs, and a domain that its guest put to sleep holds its disk.
STATES = {
    0: "running",  # no state: what the driver does not tell
    1: "running",
    2: "running",  # blocked on a resource
    3: "paused",
    4: "running",  # shutting down
    5: "stopped",
    6: "crashed",
    7: "paused",  # suspended by its guest
}

# A guest that has shut down, whose QEMU has not ended yet, or has and is cleared away: such a
# domain is active still.
ENDING = (4, 5)

# libvirt's reasons, by its numbers. They tell of the last end alone, until the next start. A start
# that failed, or that the hook refused, ended no guest: the domain is stopped.
BROKEN_ENDS = (
    3,  # crashed: QEMU was killed, or ended by itself
    8,  # daemon: libvirtd found no QEMU any more when it came back
)
FAILED_START = 6
IO_ERROR = 5  # of a pause: a disk failed
STARTING_UP = 11  # of a pause: libvirt itself lets the domain go on in a moment


def states(connection: Connection, marks: Marks) -> DomainStates:
    """The states of the VMs' domains, and of foreign domains in their way."""
    with connection.translated("Could not list the domains"):
        domains, plain = connection.retrying(_domains_and_plain_states)
        reasons = connection.retrying(_reasons)
        known = dict(connection.known())
        vm_of = {uuid: name for name, uuid in known.items()}
        marks.keep(vm_of)
        seen = DomainStates(vms={}, foreign={})
        io_errors = []
        for domain in domains:
            name, uuid = str(domain.name()), str(domain.UUIDString())
            vm = name if name in known else vm_of.get(uuid)
            if vm is None:
                continue
            with ignoring_missing():
                state = plain.get(uuid) or state_of(domain)
                if state == "stopped" and reasons.get(uuid) in BROKEN_ENDS:
                    state = "crashed"
                if uuid in vm_of and marks.bears(libvirt_module(), domain, uuid):
                    seen.vms[vm_of[uuid]] = state
                    if state == "paused" and reasons.get(uuid) == IO_ERROR:
                        io_errors.append(vm_of[uuid])
                else:
                    seen.foreign[vm] = _foreign(domain, state)
        return msgspec.structs.replace(seen, io_errors=tuple(io_errors))


def in_the_way(connection: Connection, name: str) -> ForeignDomain | None:
    """The domain that has the name or the UUID of a VM and is not the VM's."""
    libvirt = libvirt_module()
    with connection.translated(f"Could not look at {name}"), ignoring_missing():
        uuid = connection.known().get(name)
        domain = connection.retrying(
            lambda host: libvirt_identity.in_the_way(libvirt, host, name, uuid)
        )
        return None if domain is None else _foreign(domain, state_of(domain))
    return None


def _foreign(domain: Any, state: str) -> ForeignDomain:
    marked = libvirt_identity.is_marked(libvirt_module(), domain)
    return ForeignDomain(name=str(domain.name()), state=state, marked=marked)


def state_of(domain: Any) -> str:
    """The state of a domain, in mcv's words."""
    number, reason = domain.state()[:2]
    state = STATES.get(number, "running")
    if state == "stopped" and domain.isActive():
        return "running"
    if state == "paused" and reason == STARTING_UP:
        return "running"
    if state == "stopped" and domain.hasManagedSaveImage(0):
        return SAVED
    return "crashed" if state == "stopped" and reason in BROKEN_ENDS else state


def has_failed_to_start(domain: Any) -> bool:
    """Whether the last start of a domain that is off came to nothing."""
    number, reason = domain.state()[:2]
    return STATES.get(number) == "stopped" and reason == FAILED_START


def _reasons(connection: Any) -> dict[str, int]:
    """Why each domain is in its state, by UUID; a single question for all of them."""
    libvirt = libvirt_module()
    try:
        stats = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return {}
    return {str(domain.UUIDString()): int(told["state.reason"]) for domain, told in stats}


def _domains_and_plain_states(connection: Any) -> tuple[list[Any], dict[str, str]]:
    """Every domain, and the states of those that just run or are off, by UUID.

    A few questions for all of them: to ask for each by itself takes seconds where there are
    a thousand.
    """
    libvirt = libvirt_module()
    domains = list(connection.listAllDomains(0))
    off = libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_SHUTOFF
    on = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING
    plain = {str(domain.UUIDString()): "stopped" for domain in connection.listAllDomains(off)}
    saved = off | libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE
    plain |= {str(domain.UUIDString()): SAVED for domain in connection.listAllDomains(saved)}
    plain |= {str(domain.UUIDString()): "running" for domain in connection.listAllDomains(on)}
    return domains, plain
