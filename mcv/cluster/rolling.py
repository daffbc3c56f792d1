"""All hosts rebooted, one after the other: each is drained, booted, and has its VMs back.

What was rebooted already is known by the boots that are noted at the beginning, so that the same
command goes on with the rest. A host does not reboot itself: another member does that, last.
"""

import time
from pathlib import Path

import msgspec
from msgspec import Struct

from mcv.cluster import draining, powering
from mcv.document.model import Cluster
from mcv.errors import DoneInPart, McvError, Refused, refuse_all
from mcv.host import DryRun, Host
from mcv.system import files
from mcv.vm import own_job

LASTS = 24 * 3600.0  # s after which a rolling reboot that stopped is begun anew
POLL = 2.0  # s between two looks at a host that is to come back


class Note(Struct, frozen=True, kw_only=True):
    """When it began (s since the epoch), and each host's boot then, "" where that is over."""

    began: float
    boots: dict[str, str]


class Rolled(Struct, frozen=True, kw_only=True):
    """The hosts that were rebooted; `last` is this node's own, whose boot is `boot`."""

    rebooted: list[str]
    last: str = ""
    boot: str = ""


def reboot_others(host: Host, shutdown: bool = False, dry_run: bool = False) -> Rolled | DryRun:
    """Reboot every other host, one after the other; this host is left for `reboot_last`.

    Each is drained, rebooted, waited for, and restored; the next one follows when all disks are
    in step. Errors: Refused where that cannot end well, with every reason; DoneInPart where it
    stops at the first trouble: the same command goes on.
    """
    host.consensus.require_contact()
    cluster = host.read()
    note = _note(host, cluster)
    _require_online(host, cluster)
    others = [node for node in sorted(cluster.nodes) if node != host.name]
    # Where an earlier call stopped: until that host is back the others' VMs lack a place.
    begun = [node for node in others if cluster.node(node).draining]
    if not begun:
        _require_places(host, cluster, note, shutdown)
    order = [*begun, *(node for node in others if node not in begun)]
    if dry_run:
        return DryRun(plan=[_in_words(host, note, node) for node in [*order, host.name]])
    _write(host, note)
    rebooted = []
    for node in order:
        if _round(host, node, note.boots[node], shutdown):
            rebooted.append(node)
    boot = host.observations.boot
    if note.boots[host.name] != boot:
        files.remove(_path(host))
        return Rolled(rebooted=rebooted)
    return Rolled(rebooted=rebooted, last=host.name, boot=boot)


def reboot_last(host: Host, node: str, boot: str, shutdown: bool = False) -> Rolled:
    """Reboot the host that has rebooted all others; done by another one. Errors: as before."""
    host.consensus.require_contact()
    cluster = host.read()
    boots = dict.fromkeys(cluster.nodes, "") | {node: boot}
    _write(host, Note(began=time.time(), boots=boots))
    _round(host, node, boot, shutdown)
    files.remove(_path(host))
    return Rolled(rebooted=[node])


# The note


def _path(host: Host) -> Path:
    return files.child(host.settings.notes, "rolling.json")


def _note(host: Host, cluster: Cluster) -> Note:
    """What is to go on; a new note where nothing is. Errors: Refused where a host is silent."""
    known = files.read_or_set_aside(_path(host), Note)
    found = {node: powering.boot_of(host, node) for node in cluster.nodes}
    if known is not None and 0 <= time.time() - known.began < LASTS:
        is_open = any(
            member.draining or now is None or known.boots.get(node, now.boot) == now.boot
            for node, member in cluster.nodes.items()
            for now in [found[node]]
        )
        if is_open:
            new = {node: now.boot for node, now in found.items() if now is not None}
            return Note(began=known.began, boots=new | known.boots)
    refuse_all(
        [
            Refused(f"{node} does not answer.", f"{host.advice(node)}")
            for node, now in found.items()
            if now is None
        ]
    )
    boots = {node: now.boot for node, now in found.items() if now is not None}
    return Note(began=time.time(), boots=boots)


def _write(host: Host, note: Note) -> None:
    files.write_atomically(_path(host), msgspec.json.encode(note).decode())


# What is judged before


def _require_online(host: Host, cluster: Cluster) -> None:
    """Errors: Refused where a host is offline, unless an earlier call has drained it."""
    if len(cluster.nodes) < 2:
        raise Refused(
            f"{host.name} is the only node: its VMs have no other place.",
            f"mcv node reboot {host.name} --shutdown",
        )
    has_begun = files.read_or_none(_path(host)) is not None
    problems = []
    for node, member in sorted(cluster.nodes.items()):
        if member.status == "offline" and not (member.draining and has_begun):
            back = f"mcv node restore {node}" if member.draining else f"mcv node online {node}"
            problems.append(Refused(f"{node} is offline.", f"Bring it back with: {back}"))
    refuse_all(problems)


def _require_places(host: Host, cluster: Cluster, note: Note, shutdown: bool) -> None:
    """Errors: Refused with every VM that cannot leave its host."""
    leaving = [
        (node, departure)
        for node in sorted(cluster.nodes)
        if not _is_rebooted(host, note, node)
        for departure in draining.asked(host, cluster, node, shutdown)
    ]
    stuck = [(node, departure) for node, departure in leaving if not departure.to]
    refuse_all([Refused(departure.said(node), departure.hint) for node, departure in stuck])


def _is_rebooted(host: Host, note: Note, node: str) -> bool:
    now = powering.boot_of(host, node)
    return now is not None and now.boot != note.boots.get(node, "")


def _in_words(host: Host, note: Note, node: str) -> str:
    if _is_rebooted(host, note, node):
        return f"{node} has been rebooted since this began."
    by = ", this node, last and by another one" if node == host.name else ""
    return f"{node} is drained, rebooted and restored{by}."


# One host


def _round(host: Host, node: str, boot: str, shutdown: bool) -> bool:
    """Drain, reboot and restore a host, each where that is left to do; whether it was rebooted.

    Errors: DoneInPart, which says where it stopped and how it goes on.
    """
    job = host.job
    job.check_cancelled()
    try:
        with job.may_be_cancelled(waits=False):
            is_rebooted = _rebooted(host, node, boot, shutdown)
            _restored(host, node)
    except McvError as error:
        said = " ".join([error.message, *(message for message, _ in error.problems)])
        raise DoneInPart(
            f"The rolling reboot stopped at {node}: {said}",
            f"When that is mended, on {host.name}: mcv cluster reboot --rolling",
        ) from error
    return is_rebooted


def _rebooted(host: Host, node: str, boot: str, shutdown: bool) -> bool:
    """Empty a host and boot it; False where it has booted since."""
    while (now := powering.boot_of(host, node)) is None:
        _wait(host, f"waiting for {node} to answer")
    if now.boot != boot:
        return False
    member = host.read().node(node)
    if not member.maintenance:
        host.job.progress(f"waiting for {node} to be drained")
        _do(host, f"drain node {node}", lambda: draining.drain(host, node, shutdown))
    host.job.check_cancelled()
    powering.order(host, node)
    while not powering.is_back(host, node, boot):
        _wait(host, f"waiting for {node} to be back")
    return True


def _restored(host: Host, node: str) -> None:
    """Have a host's VMs back on it, and all replicas there in step."""
    host.job.progress(f"waiting for {node} to be restored")
    _do(host, f"restore node {node}", lambda: draining.restore(host, node))
    for vm in host.read().vms.values():
        if any(node in disk.places for disk in vm.replicated):
            draining.await_in_step(host, vm)


def _do(host: Host, title: str, work: own_job.Work) -> None:
    """Each part is a job of its own, with its own journal entry."""
    host.job.check_cancelled()
    own_job.carry_out(host, title, host.job.who, work)


def _wait(host: Host, what: str) -> None:
    host.job.progress(what)
    host.job.cancelled.wait(POLL)
    host.job.check_cancelled()
