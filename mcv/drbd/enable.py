"""DRBD for the cluster: the module and tools of every node, the secret, the settings."""

import logging
from typing import Any

from msgspec import Struct

from mcv import sizes
from mcv.document.disks import DrbdDisk
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.drbd import roles, secret
from mcv.errors import Busy, McvError, Refused, refuse_all
from mcv.host import DryRun, Host
from mcv.system.answers import ask_typed

log = logging.getLogger(__name__)

RATES = ("resync-rate", "verify-rate")
LOSSES = ("continue", "wait")


class Enabled(Struct, frozen=True, kw_only=True):
    """DRBD is enabled, on these nodes."""

    enabled: bool
    nodes: list[str]


class SettingsNow(Struct, frozen=True, kw_only=True, rename=lambda name: name.replace("_", "-")):
    """The cluster's DRBD settings under the names that an operator types; rates in bytes/s."""

    resync_rate: int
    verify_rate: int
    on_peer_loss: str


class DrbdAbility(Struct, frozen=True, kw_only=True):
    """The DRBD of a node; `problem` says why it cannot be used, or is ""."""

    problem: str = ""
    hint: str = ""
    kernel: str = ""
    utils: str = ""
    generation: int = 0


def enable(host: Host, dry_run: bool = False) -> Enabled | DryRun:
    """Check every node, hand the secret out, write it down. The secret is in no step."""
    cluster = host.read()
    if cluster.drbd.enabled:
        raise Refused("DRBD is enabled already.")
    host.consensus.require_contact()
    with host.locks.hold("drbd-enable", "drbd enable"):
        _require_able(host, cluster.online)
        if dry_run:
            handed_out = [f"{node}: drbd.take_secret" for node in cluster.online]
            return DryRun(plan=[*handed_out, "document: drbd.enable"])
        word = secret.new()
        for node in cluster.online:
            host.call(node, "drbd.take_secret", secret=word, id="")
        host.update("drbd.enable", "drbd enable")
    return Enabled(enabled=True, nodes=cluster.online)


def _require_able(host: Host, nodes: list[str]) -> None:
    """Raises Refused unless DRBD can be used on every node, and is of one generation."""
    answers = ask_typed(host.call, nodes, "drbd.able", 30.0, DrbdAbility)
    problems = []
    for node, answer in answers.items():
        if isinstance(answer, McvError):
            problems.append(Refused(f"{node}: {answer.message}", answer.hint))
        elif answer.problem:
            problems.append(Refused(f"{node}: {answer.problem}", answer.hint))
    refuse_all(problems)
    generations = {
        answer.generation for answer in answers.values() if isinstance(answer, DrbdAbility)
    }
    if len(generations) > 1:
        raise Refused("The nodes have different generations of DRBD.", "Make them equal.")


def able(host: Host) -> DrbdAbility:
    """Whether this node can do DRBD: the module, the tools, their generation."""
    try:
        host.drbd.module.load()
        kernel, utils = host.drbd.module.versions()
    except McvError as error:
        return DrbdAbility(
            problem=f"DRBD cannot be used: {error.message}",
            hint="Install drbd-utils, and a kernel with the drbd module.",
        )
    return DrbdAbility(kernel=kernel, utils=utils, generation=host.drbd.module.generation())


def set_(host: Host, values: dict[str, str]) -> SettingsNow:
    """Change the cluster's DRBD settings; every node takes the new ones up."""
    problems: list[Refused] = []
    wanted: dict[str, Any] = {}
    for key, text in values.items():
        if key in RATES:
            try:
                wanted[key.replace("-", "_")] = sizes.parse(text, key)
            except Refused as problem:
                problems.append(problem)
        elif key == "on-peer-loss" and text in LOSSES:
            wanted["on_peer_loss"] = text
        elif key == "on-peer-loss":
            problems.append(Refused(f"on-peer-loss is one of: {', '.join(LOSSES)}."))
        else:
            problems.append(
                Refused(
                    f"There is no setting {key}.", f"It can be: {', '.join(RATES)}, on-peer-loss."
                )
            )
    if not values:
        problems.append(Refused("There is nothing to set.", "mcv drbd set resync-rate=100MiB"))
    refuse_all(problems)
    cluster = host.update("drbd.set", "drbd set " + " ".join(sorted(values)), **wanted)
    return SettingsNow(
        resync_rate=cluster.drbd.resync_rate,
        verify_rate=cluster.drbd.verify_rate,
        on_peer_loss=cluster.drbd.on_peer_loss,
    )


def adjust(host: Host) -> None:
    """Bring the resource files and the kernel up to what the document says now.

    Each under its VM's lock; one that is busy, or that fails, has its turn in a later round.
    """
    cluster, hash_ = host.consensus.committed()
    if not cluster.drbd.enabled or host.adjusted == hash_ or not secret.fetch(host):
        return
    is_done = True
    known = {disk.resource for each in host.both() for _, disk in each.replicated()}
    host.unadjusted.intersection_update(known)
    for vm, disk in cluster.replicated():
        mine = host.name in disk.places
        if not mine or vm.claim is not None or not _is_behind(host, cluster, disk):
            continue
        try:
            with host.hold(Subject.vm(vm.name), "adjust its disks", timeout=0):
                _adjust(host, vm.name, disk.id)
        except Busy:
            is_done = False
        except McvError as error:
            log.warning("adjusting %s: %s", disk.resource, error)
            is_done = False
    if is_done:
        secret.remove_former(host)
        host.adjusted = hash_


def _is_behind(host: Host, cluster: Cluster, disk: DrbdDisk) -> bool:
    """Whether the file of a resource, or the kernel since the file was written, says less."""
    return disk.resource in host.unadjusted or not roles.has_file(host, cluster, disk)


def _adjust(host: Host, name: str, disk: int) -> None:
    """Bring one resource to its settings; a StandAlone or detached one stays as it is.

    Such a resource takes the settings up when it is connected or attached again. A resource
    whose secret was renewed is connected again: two secrets may be what parted it.
    """
    if any(name not in one.vms or one.vms[name].claim for one in host.both()):
        return
    cluster = host.read()
    wanted = cluster.vm(name).replica(disk)
    status = host.drbd.status(wanted.resource)
    if status is None:
        return
    is_renewed = roles.is_renewed(host, cluster, wanted)
    host.unadjusted.add(wanted.resource)
    roles.write_file(host, cluster, wanted)
    if status.is_detached and is_renewed:
        host.drbd.connect(wanted.resource)
    elif not status.is_detached and (is_renewed or not status.is_standalone):
        host.drbd.adjust(wanted.resource)
    host.unadjusted.discard(wanted.resource)
    if is_renewed:
        secret.meet_again(host, wanted)
