"""What a node mends of its own: each deed under the VM's lock, looked at again right before.

Never the data of a VM, never a volume without mcv's tag, and nothing that a claim or a
journal entry names.
"""

from collections.abc import Callable

from msgspec import Struct

from mcv import storage
from mcv.check import artifacts, resource_files, volumes
from mcv.document.disks import DrbdDisk, group_of
from mcv.document.identity import known_uuids
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.drbd import roles
from mcv.drivers.domain_reading import is_ours, substance
from mcv.drivers.libvirt import Definition
from mcv.drivers.libvirt_identity import FOREIGN, uuid_of
from mcv.drivers.libvirt_saved import SAVED
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.rules import preconditions
from mcv.rules.domain import ACTIVE
from mcv.system import files, stall
from mcv.transaction.journal import encode
from mcv.vm import definition

LOCK = 10.0  # seconds that somebody else's command on the VM is waited for

Deed = Callable[[Host, str], None]


class Mended(Struct, frozen=True, kw_only=True):
    """What became of one fix; `message` says why it was left."""

    deed: str
    subject: str
    done: bool
    message: str = ""


def mend(host: Host, deeds: list[dict[str, str]]) -> list[Mended]:
    """Do what was shown, one after the other; what is not so any more is left and says why."""
    host.consensus.require_contact()
    in_order = sorted(
        deeds, key=lambda fix: ORDER.index(fix["deed"]) if fix["deed"] in FIXERS else 0
    )
    return [_mended(host, fix["deed"], fix["subject"]) for fix in in_order]


def _mended(host: Host, deed: str, subject: str) -> Mended:
    try:
        # A libvirt that hangs keeps the lock, and not the check.
        stall.until_stalled(lambda: _do(host, deed, subject), f"{deed} {subject}")
    except McvError as error:
        return Mended(deed=deed, subject=subject, done=False, message=error.message)
    return Mended(deed=deed, subject=subject, done=True)


def _do(host: Host, deed: str, subject: str) -> None:
    if deed not in FIXERS:
        raise Refused(f"There is nothing called {deed} to do.", "mcv cluster check")
    if deed in OF_THE_HOST:
        FIXERS[deed](host, subject)
        return
    name = vm_behind(subject)
    with host.hold(Subject.vm(name), f"cluster check --fix ({deed})", timeout=LOCK):
        _require_unnamed(host, name, subject)
        FIXERS[deed](host, subject)


def vm_behind(subject: str) -> str:
    """The VM that a domain, a volume, a resource or its file is of, by its name.

    Whoever makes or deletes such a VM takes turns with the mending under its lock.
    """
    last = subject.rpartition("/")[2].removesuffix(".res")
    match = volumes.OF_VM.fullmatch(last)
    return match["vm"] if match else last


def _require_unnamed(host: Host, name: str, subject: str) -> None:
    """Refused while an operation holds the VM, or a journal entry speaks of it."""
    for cluster in host.both():
        claim = cluster.claim_of(Subject.vm(name))
        if claim is not None:
            raise Refused(f"{name} is busy: {claim.why}, on {claim.node}.")
    last = subject.rpartition("/")[2].removesuffix(".res")
    for entry in host.journal.entries():
        if Subject.vm(name) in entry.subjects or f'"{last}"' in encode(entry):
            raise Refused(f"{entry.title} is unfinished and names it.", "mcv repair")


def _vm(host: Host, name: str) -> Vm:
    """The VM, as both the document and the proposal know it."""
    for cluster in reversed(host.both()):
        vm = cluster.vm(name)
    return vm


def _disk(host: Host, resource: str) -> tuple[Cluster, DrbdDisk]:
    for cluster in reversed(host.both()):
        _, disk = cluster.by_resource(resource)
    if host.name not in disk.places:
        raise Refused(f"{host.name} holds no replica of {resource}.")
    return cluster, disk


# What belongs to a VM


def _define(host: Host, name: str) -> None:
    vm = _vm(host, name)
    if any(cluster.vm(name).node != host.name for cluster in host.both()):
        raise Refused(f"{name} belongs to {vm.node}.")
    preconditions.no_foreign(host.name, host.domains.foreign(name))
    if host.domains.state(name) != "absent":
        raise Refused(f"{name} is defined on {host.name} by now.")
    host.domains.define(definition.of(host, vm))


def _undefine(host: Host, name: str) -> None:
    """Undefine a VM's domain where the VM does not belong, or a domain of no VM at all."""
    owners = {cluster.vms[name].node for cluster in host.both() if name in cluster.vms}
    state = host.domains.state(name)
    if state in ("absent", FOREIGN):
        _require_leftover(host, name)
        host.domains.undefine_leftover(name)
        return
    if host.name in owners:
        raise Refused(f"{name} belongs to {host.name}.")
    if host.domains.is_active(name) or state == SAVED:
        raise Refused(f"{name} is {state} on {host.name}.")
    host.domains.undefine(name)


def _autostart(host: Host, name: str) -> None:
    _ours(host, name)
    host.domains.leave_to_mcv(name)


def _require_leftover(host: Host, name: str) -> None:
    found = _ours(host, name)
    if uuid_of(found.xml) in known_uuids(host.both()).values():
        raise Refused(f"The domain {name} on {host.name} is of a VM.")
    if found.state in (*ACTIVE, SAVED):
        raise Refused(f"{name} is {found.state} on {host.name}.")


def _ours(host: Host, name: str) -> Definition:
    """The definition of a marked domain; Refused for any other."""
    found = host.domains.definitions().get(name)
    if found is None:
        raise Refused(f"There is no domain {name} on {host.name} any more.")
    if not is_ours(found.xml):
        raise Refused(f"The domain {name} on {host.name} is not mcv's.")
    return found


def _file(host: Host, resource: str) -> None:
    """Write the file. The kernel takes it up, unless the replica was parted from its peer:
    whether it may find it again is the operator's to say."""
    cluster, disk = _disk(host, resource)
    roles.write_file(host, cluster, disk)
    status = host.drbd.status(resource)
    if status is not None and not status.is_standalone:
        host.drbd.adjust(resource)


def _up(host: Host, resource: str) -> None:
    cluster, disk = _disk(host, resource)
    group = group_of(disk.places[host.name])
    if host.volumes.volume(group, disk.volume) is None:
        raise Refused(f"There is no logical volume {group}/{disk.volume} on {host.name}.")
    roles.write_file(host, cluster, disk)
    host.drbd.module.load()
    if host.drbd.status(resource) is None:
        host.volumes.activate(group, disk.volume)
        host.drbd.up(resource)


def _activate(host: Host, subject: str) -> None:
    group, _, name = subject.partition("/")
    for cluster in host.both():
        for _, disk in cluster.disks():
            here = disk.places.get(host.name, "")
            if (group_of(here), disk.volume) == (group, name):
                storage.of(disk).bring_up(host)
                return
    raise Refused(f"{subject} is a disk of no VM any more.")


# What belongs to no VM


def _require_left_over(host: Host, resource: str) -> None:
    for cluster in host.both():
        for vm, disk in cluster.replicated():
            if disk.resource == resource and host.name in disk.places:
                raise Refused(f"{resource} belongs to {vm.name}.")


def _down(host: Host, resource: str) -> None:
    _require_left_over(host, resource)
    status = host.drbd.status(resource)
    if not resource_files.is_mcvs(resource):
        raise Refused(f"{resource} is not mcv's.")
    if status is not None and status.is_primary:
        raise Refused(f"{resource} is Primary on {host.name}: it is in use.")
    if status is not None and status.minor is not None:
        _require_unused(host, f"/dev/drbd{status.minor}")
    host.drbd.down(resource)


def _remove_file(host: Host, path: str) -> None:
    resource = path.rpartition("/")[2].removesuffix(".res")
    _require_left_over(host, resource)
    where = files.child(host.settings.drbd_directory, f"{resource}.res")
    if path != artifacts.file_of(resource):
        raise Refused(f"{path} is no resource file.")
    if not resource_files.is_mcvs(resource, files.read_or_none(where) or ""):
        raise Refused(f"{path} is not mcv's.")
    if host.drbd.status(resource) is not None:
        raise Refused(f"{resource} is up on {host.name}.")
    files.remove(where)


def _remove_volume(host: Host, subject: str) -> None:
    group, _, name = subject.partition("/")
    for cluster in host.both():
        for vm, disk in cluster.disks():
            if (group_of(disk.places.get(host.name, "")), disk.volume) == (group, name):
                raise Refused(f"{subject} belongs to {vm.name}.")
    volume = host.volumes.volume(group, name)
    if volume is None:
        raise Refused(f"There is no logical volume {subject} any more.")
    if not volume.ours:
        raise Refused(f"{subject} has not mcv's tag.")
    _require_unused(host, f"/dev/{group}/{name}")
    host.volumes.remove(group, name)


def _require_unused(host: Host, device: str) -> None:
    """Refused while a domain or a resource file speaks of a device."""
    for name, domain in host.domains.definitions().items():
        if any(source == device for _, source in substance(domain.xml).disks):
            raise Refused(f"{device} is a disk of the domain {name}.")
    for path in host.settings.drbd_directory.glob("*.res"):
        if f" {device};" in (files.read_or_none(path) or ""):
            raise Refused(f"{path.name} speaks of {device}.")


# What belongs to the host


def _hide_guests(host: Host, _file: str) -> None:
    host.volumes.filter.add()


# In this order: a volume is let go of by its resource first.
FIXERS: dict[str, Deed] = {
    "undefine": _undefine,
    "autostart": _autostart,
    "file": _file,
    "up": _up,
    "activate": _activate,
    "define": _define,
    "down": _down,
    "remove-file": _remove_file,
    "remove-volume": _remove_volume,
    "hide-guests": _hide_guests,
}
OF_THE_HOST = {"hide-guests"}  # done without a VM's lock
ORDER = list(FIXERS)
