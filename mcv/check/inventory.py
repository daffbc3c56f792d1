"""What a node has, by its own word: libvirt, LVM, DRBD and its files are asked, now."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import asdict

import mcv
from mcv.check import fence_seen, files_seen, lease_seen, resource_files, service_seen
from mcv.check.fence_seen import FenceSeen
from mcv.check.files_seen import DirectorySeen
from mcv.check.lease_seen import LeaseSeen
from mcv.check.resource_files import ResourceFile
from mcv.check.service_seen import ServiceHere
from mcv.document.generation import Epoch
from mcv.drbd import notes, pairs, secret
from mcv.drivers import libvirt_guests, libvirt_hook
from mcv.drivers.domain_devices import Hardware, hardware
from mcv.drivers.domain_reading import SavedState, Substance, is_ours, substance
from mcv.drivers.host_devices import HostDevice
from mcv.drivers.libvirt_guests import GuestsSettings
from mcv.drivers.libvirt_hook import HookState
from mcv.drivers.lvm_filter import Sight
from mcv.errors import McvError
from mcv.host import Host
from mcv.network import needs
from mcv.network.needs import Lacking
from mcv.recovery import journal_recovery
from mcv.recovery.rows import Unfinished
from mcv.rules.replica_state import ReplicaState
from mcv.storage import image_files, rooms
from mcv.storage.image_files import ImageSeen
from mcv.storage.rooms import LvmView, Room
from mcv.system import room, users
from mcv.system.fanout import ask_all

PATIENCE = 4.0  # seconds that libvirt, LVM and DRBD have, side by side
SCAN = 3.0  # s of these that the pools wait for the one scan of LVM
UNITS = Path("/etc/systemd/system")
SENDMAIL = Path("/usr/sbin/sendmail")  # what cron and mcv-verify hand their mail to
ROOT = Path("/")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A value that comes from another node, which may know more than this one."""


class Lv(Told, frozen=True, kw_only=True):
    """A logical volume; `ours` is whether it has mcv's tag, `pool` a thin volume's pool."""

    group: str
    name: str
    size: int
    ours: bool
    pool: str = ""
    active: bool = True


class Domain(Told, frozen=True, kw_only=True):
    """A domain; `ours` is whether it has mcv's mark. An mcv of before tells no hardware."""

    state: str
    ours: bool
    persistent: bool
    autostart: bool
    substance: Substance
    hardware: Hardware | None = None

    @property
    def is_active(self) -> bool:
        return self.state in ("running", "paused")


class Inventory(Told, frozen=True, kw_only=True):
    """One node; what it could not read is None, and says why in `trouble`.

    `running` are the operations that it is at work on, `blocked` the resources with a
    failed verification that is written down on this node alone, `missing` the tools that are
    not there, with the package that has them, `group_problems` the volume groups that mcv does
    not touch: why, and the hint. `secret_seen_by` are the users who see drbdsetup's arguments,
    `mails` is whether there is a mail program, and `guests` what libvirt-guests does, if it is
    enabled.
    """

    node: str
    hostname: str
    state: str = "/var/lib/mcv"
    version: str
    began: float
    ended: float
    epoch: int
    epoch_id: str
    generation: int
    hash: str
    epochs: list[Epoch]
    proposal: str | None
    in_contact: bool
    certificate: str
    secret: bool
    drbd_at_boot: bool
    bridges: list[str]
    networks: list[Lacking] = []
    unfinished: list[Unfinished]
    running: list[str]
    blocked: list[str]
    files: dict[str, ResourceFile] = {}
    extents: dict[str, int] | None = None
    group_problems: dict[str, tuple[str, str]] = {}
    volumes: list[Lv] | None = None
    directories: dict[str, DirectorySeen] = {}
    lvm_sight: Sight | None = None
    resources: dict[str, ReplicaState] | None = None
    drbd_complaint: str = ""
    secret_seen_by: list[str] = []
    domains: dict[str, Domain] | None = None
    saved: dict[str, SavedState] = {}
    trouble: dict[str, str] = {}
    full: str = ""
    missing: dict[str, str] = {}
    mails: bool = True
    guests: GuestsSettings | None = None
    hook: HookState = HookState.ASKED
    rooms: dict[str, Room] = {}
    images: dict[str, ImageSeen] = {}
    images_problem: str = ""
    devices: list[HostDevice] | None = None
    lease: LeaseSeen | None = None
    fences: FenceSeen | None = None
    services: dict[str, ServiceHere] | None = None


def inventory(host: Host) -> Inventory:
    """Answer another node: what this node has."""
    began = time.time()
    cluster, hash_ = host.consensus.committed()
    proposal = host.consensus.proposal()
    parts, trouble = _parts(host)
    told = {
        key: value for part in parts for key, value in asdict(part).items() if value is not None
    }
    images, images_problem = image_files.seen(host)
    try:
        unfinished = journal_recovery.left(host)
    except (McvError, OSError) as error:
        unfinished = []
        trouble["journal"] = f"The journal cannot be read: {error}."
    return Inventory(
        node=host.name,
        hostname=host.settings.hostname,
        state=str(host.settings.state),
        version=mcv.__version__,
        began=began,
        ended=time.time(),
        epoch=cluster.epoch.number,
        epoch_id=cluster.epoch.id,
        generation=cluster.generation,
        hash=hash_,
        epochs=list(cluster.epochs),
        proposal=proposal[0].change.why if proposal else None,
        in_contact=host.consensus.in_contact,
        certificate=host.certificate,
        secret=secret.exists(host, cluster.drbd.secret_id),
        secret_seen_by=users.who_see_arguments(),
        drbd_at_boot=any(UNITS.glob("*.wants/drbd.service")),
        mails=os.access(SENDMAIL, os.X_OK),
        guests=libvirt_guests.settings(ROOT)
        if any(UNITS.glob("*.wants/libvirt-guests.service"))
        else None,
        hook=libvirt_hook.state(ROOT),
        bridges=host.bridges.list(),
        networks=needs.lacking(host),
        unfinished=unfinished,
        running=_running(host),
        blocked=notes.blocked(host.settings.notes),
        trouble=trouble,
        full=room.problem(host.settings.state),
        images=images,
        images_problem=images_problem,
        missing=host.drbd.module.missing() if host.read().drbd.enabled else {},
        **told,
    )


def _running(host: Host) -> list[str]:
    """The operations that claim something, and that this node is at work on."""
    claims = [
        claim for cluster in host.both() for claim in map(cluster.claim_of, cluster.subjects())
    ]
    operations = {claim.operation for claim in claims if claim is not None}
    return sorted(filter(host.jobs.running, operations))


class Part(Told, frozen=True, kw_only=True):
    """What one tool of this host tells of the inventory; the rest is None."""

    files: dict[str, ResourceFile] | None = None
    extents: dict[str, int] | None = None
    group_problems: dict[str, tuple[str, str]] | None = None
    volumes: list[Lv] | None = None
    directories: dict[str, DirectorySeen] | None = None
    lvm_sight: Sight | None = None
    resources: dict[str, ReplicaState] | None = None
    drbd_complaint: str | None = None
    domains: dict[str, Domain] | None = None
    saved: dict[str, SavedState] | None = None
    rooms: dict[str, Room] | None = None
    devices: list[HostDevice] | None = None
    lease: LeaseSeen | None = None
    fences: FenceSeen | None = None
    services: dict[str, ServiceHere] | None = None


def _parts(host: Host) -> tuple[list[Part], dict[str, str]]:
    """What the tools of this host tell; a tool that hangs or fails delays no other."""
    scan = rooms.Scan(host, SCAN)
    readers: dict[str, Callable[[Host], Part]] = {
        "libvirt": _domains,
        "LVM": lambda _: _volumes(scan.carry_out()),
    }
    if host.read().drbd.enabled:
        readers["DRBD"] = _resources
        readers["LVM's configuration"] = _lvm_sight
    readers["resource files"] = lambda host: Part(files=resource_files.look(host))
    readers["pools"] = lambda host: Part(rooms=rooms.for_report(host, scan))
    readers["devices"] = lambda host: Part(devices=host.devices.all())
    readers["the lease"] = lambda host: Part(lease=lease_seen.look(host))
    readers["fence devices"] = lambda host: Part(fences=fence_seen.look(host))
    readers["services"] = lambda host: Part(services=service_seen.look(host))
    readers["directories"] = lambda host: Part(directories=files_seen.look(host))

    def ask(tool: str, _: str, timeout: float) -> Part:
        return readers[tool](host)

    parts: list[Part] = []
    trouble = {}
    for tool, answer in ask_all(ask, readers, "", PATIENCE).items():
        if isinstance(answer, McvError):
            trouble[tool] = answer.message
        else:
            parts.append(answer)
    return parts, trouble


def _domains(host: Host) -> Part:
    domains = {
        name: Domain(
            state=definition.state,
            ours=is_ours(definition.xml),
            persistent=definition.persistent,
            autostart=definition.autostart,
            substance=substance(definition.xml),
            hardware=hardware(definition.xml),
        )
        for name, definition in host.domains.definitions().items()
    }
    return Part(domains=domains, saved=host.domains.saved.all())


def _volumes(lvm: LvmView) -> Part:
    groups = lvm.groups.values()
    return Part(
        extents={group.name: group.extent_size for group in groups if not group.problem},
        group_problems={
            group.name: (group.problem, group.hint) for group in groups if group.problem
        },
        volumes=[
            Lv(
                group=volume.group,
                name=volume.name,
                size=volume.size,
                ours=volume.ours,
                pool=volume.pool,
                active=volume.active,
            )
            for volume in lvm.volumes
        ],
    )


def _lvm_sight(host: Host) -> Part:
    return Part(lvm_sight=host.volumes.filter.sight())


def _resources(host: Host) -> Part:
    """The kernel's resources; those that are StandAlone with which data they hold."""
    return Part(
        resources=pairs.for_report(host, host.drbd.statuses()),
        drbd_complaint=host.drbd.module.complaint(),
    )
