"""list and info: the VMs as the reports of all nodes tell them."""

from msgspec import Struct
from msgspec.structs import asdict

from mcv import storage
from mcv.document.claim import Claim
from mcv.document.disks import Disk, DrbdDisk, Override
from mcv.document.hardware import Device
from mcv.document.model import Cluster, Vm
from mcv.drivers.drbd_states import DiskState, Role
from mcv.drivers.libvirt_nics import GuestAddress
from mcv.host import Host
from mcv.rules import tied
from mcv.rules.finding import Finding
from mcv.status import findings, vm_filters
from mcv.status.findings import is_verified_now
from mcv.status.report import NodeReport, Reports, reports, told
from mcv.system.answers import ask_typed
from mcv.system.fanout import ask_all
from mcv.system.observations import READ
from mcv.vm import nics
from mcv.vm.nics import NicRow

# The results of verifications, the worst first.
RESULTS = ("out-of-sync", "interrupted", "running", "never", "clean")

PENDING = 3.0  # s that an owner, which has just told the VM's state, has to compare its domain


class VmSummary(Struct, frozen=True, kw_only=True):
    """One row of list. `attention` is the sentence of the worst finding that needs somebody."""

    name: str
    state: str
    node: str
    nodes: tuple[str, ...]
    memory: int
    cpus: int
    storage: str
    locked: bool
    autostart: str
    attention: str | None
    findings: list[Finding]
    tags: tuple[str, ...] = ()
    description: str = ""


class DrbdView(Struct, frozen=True, kw_only=True):
    """The replicas of one disk as the owner sees them, or, where it is silent, its peer."""

    resource: str
    minor: int
    port: int
    connection: str = "Unconfigured"
    role: Role = Role.UNKNOWN
    peer_role: Role = Role.UNKNOWN
    disk: DiskState = DiskState.UNKNOWN
    peer_disk: DiskState = DiskState.UNKNOWN
    done: float | None = None


class DiskView(Struct, frozen=True, kw_only=True):
    """One disk of a VM."""

    id: int
    target: str
    size: int
    storage: str
    pool: str | None
    path: str
    drbd: DrbdView | None


class VerificationView(Struct, frozen=True, kw_only=True):
    """The worst of a VM's disks: what the last verification said, and whether it blocks.

    `override` is the last start or move past a failed verification, until a clean one.
    """

    result: str
    under_way: bool
    when: str
    who: str
    out_of_sync: int
    blocked: bool
    override: Override | None


class VmInfo(VmSummary, frozen=True, kw_only=True):
    """All about one VM; `cd` is the image in its CD drive, `home` the node of its last migration.

    `pending` is what the running domain has otherwise, and has from its next start on.
    `agent` is "answers", "silent", or "none" where none is connected; None where that is not told.
    `overlay` is whether it has one; `devices` are those of its host.
    """

    uuid: str
    cd: str | None
    claim: Claim | None
    administrators_lock: bool
    start_order: int
    # What is "" or () is as it usually is; the limit is in percent of one CPU, 0 for none.
    protected: bool = False
    firmware: str = "bios"
    boot: tuple[str, ...] = ()
    cpu_model: str | None = None
    cpu_limit: int = 0
    watchdog: str = ""
    video: str = ""
    keyboard: str = ""
    clock: str = ""
    start_delay: int
    disks: list[DiskView]
    networks: list[NicRow]
    verify: VerificationView
    vnc: str | None
    agent: str | None
    pending: list[str] = []
    home: str = ""
    devices: tuple[Device, ...] = ()
    overlay: bool = False


def list_(
    host: Host,
    tags: list[str] | None = None,
    node: str | None = None,
    state: str | None = None,
) -> list[VmSummary]:
    """The VMs with their states; "unknown" where the owner does not tell.

    Those that have every one of the tags, belong to the node, and are in the state. Raises
    Refused, with every reason, for a node and a state that there is not.
    """
    cluster = host.read()
    vm_filters.require(cluster, node, state)
    seen = reports(host)
    cluster = host.read()
    rows = [
        summary(cluster, vm, seen)
        for _, vm in sorted(cluster.vms.items())
        if node in (None, vm.node) and {*(tags or ())} <= {*vm.tags}
    ]
    return [row for row in rows if state in (None, row.state)]


def summary(cluster: Cluster, vm: Vm, seen: Reports) -> VmSummary:
    found = findings.of_vm(cluster, vm, seen)
    return VmSummary(
        name=vm.name,
        state=state_of(vm, seen),
        node=vm.node,
        nodes=tied.nodes(vm),
        memory=vm.memory,
        cpus=vm.cpus,
        storage=vm.storage,
        locked=vm.locked or vm.claim is not None,
        autostart=vm.autostart,
        attention=findings.attention(found),
        findings=found,
        tags=vm.tags,
        description=vm.description,
    )


def state_of(vm: Vm, seen: Reports) -> str:
    """The state of the VM's domain on its owner; "unknown" where that is not told."""
    owner = seen.get(vm.node)
    if not isinstance(owner, NodeReport) or owner.domains is None:
        return "unknown"
    state = owner.domains.get(vm.name, "stopped")
    return "stopped" if state == "absent" else state


def info(host: Host, name: str) -> VmInfo:
    """All about one VM. Raises NotFound where there is none of that name."""
    cluster = host.read()
    vm = cluster.vm(name)
    seen = reports(host)
    return VmInfo(
        **asdict(summary(cluster, vm, seen)),
        uuid=vm.uuid,
        cd=vm.cd or None,
        devices=vm.devices,
        overlay=bool(vm.overlay),
        claim=vm.claim,
        administrators_lock=vm.locked,
        start_order=vm.start_order,
        protected=vm.protected,
        firmware=vm.firmware,
        boot=vm.boot,
        cpu_model=vm.cpu.model if vm.cpu else None,
        cpu_limit=vm.cpu_limit,
        watchdog=vm.watchdog,
        video=vm.video,
        keyboard=vm.keyboard,
        clock=vm.clock,
        start_delay=vm.start_delay,
        disks=[_disk(cluster, vm, disk, seen) for disk in vm.disks],
        networks=nics.rows(host, vm, _addresses(host, vm, seen)),
        verify=verification(vm, seen),
        vnc=_asked(host, vm, seen, "vm.vnc", ("running", "paused")),
        agent=_asked(host, vm, seen, "vm.agent", ("running",)),
        pending=_pending(host, vm, seen),
        home=vm.home or vm.node,
    )


def _addresses(host: Host, vm: Vm, seen: Reports) -> dict[str, list[GuestAddress]]:
    """The addresses of a guest that runs; a stopped one has none."""
    runs = bool(vm.nics) and state_of(vm, seen) == "running"
    return nics.told_addresses(host, vm, READ) if runs else {}


def _asked(host: Host, vm: Vm, seen: Reports, question: str, states: tuple[str, ...]) -> str | None:
    """What the owner says of a VM that is in one of some states; None where it does not tell."""
    if state_of(vm, seen) not in states:
        return None
    answer = ask_all(host.call, [vm.node], question, READ, name=vm.name)[vm.node]
    return answer if isinstance(answer, str) else None


def _pending(host: Host, vm: Vm, seen: Reports) -> list[str]:
    """What an active VM has from its next start on; nothing where the owner does not tell."""
    if state_of(vm, seen) not in ("running", "paused"):
        return []
    told = ask_typed(host.call, [vm.node], "vm.pending", PENDING, list[str], name=vm.name)
    answer = told[vm.node]
    return answer if isinstance(answer, list) else []


def vnc(host: Host, name: str) -> str | None:
    return host.domains.vnc(name)


def verification(vm: Vm, seen: Reports) -> VerificationView:
    worst = min(
        (disk.verification for disk in vm.replicated),
        key=lambda last: (not last.blocked, RESULTS.index(last.result)),
        default=None,
    )
    noted = any(
        disk.resource in report.blocked for report in told(seen).values() for disk in vm.replicated
    )
    result = worst.result if worst else "never"
    return VerificationView(
        # A verification that began and has neither end nor job reads as interrupted too, until
        # the daemon's loop writes that down.
        result="interrupted" if result == "running" else result,
        under_way=is_verified_now(vm, seen),
        when=worst.when if worst else "",
        who=worst.who if worst else "",
        out_of_sync=sum(disk.verification.out_of_sync for disk in vm.replicated),
        blocked=vm.blocked or noted,
        override=vm.override if vm.blocked or noted else None,
    )


def _disk(cluster: Cluster, vm: Vm, disk: Disk, seen: Reports) -> DiskView:
    return DiskView(
        id=disk.id,
        target=disk.target,
        size=disk.size,
        storage=disk.storage,
        pool=disk.pool or None,
        path=storage.path(cluster, disk, vm.node),
        drbd=_drbd(vm, disk, seen) if isinstance(disk, DrbdDisk) else None,
    )


def _drbd(vm: Vm, disk: DrbdDisk, seen: Reports) -> DrbdView:
    view = DrbdView(resource=disk.resource, minor=disk.minor, port=disk.port)
    is_owner = isinstance(seen.get(vm.node), NodeReport)
    report = told(seen).get(vm.node if is_owner else vm.other(vm.node))
    state = (report.resources or {}).get(disk.resource) if report else None
    if state is None:
        return view
    roles = (state.role, state.peer_role)
    disks = (state.disk, state.peer_disk)
    return DrbdView(
        resource=disk.resource,
        minor=disk.minor,
        port=disk.port,
        connection=state.connection,
        role=roles[not is_owner],
        peer_role=roles[is_owner],
        disk=disks[not is_owner],
        peer_disk=disks[is_owner],
        done=state.done,
    )
