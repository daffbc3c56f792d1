"""The table: every operation, who may ask for it, what right it needs, how long it may take."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcv.api import consensus_calls
from mcv.check import fixes, inventory, runner
from mcv.cluster import divergence, facts, join, leaving, members, permissions
from mcv.drbd import enable, pairs, resolve, resync, roles, verify
from mcv.host import Host
from mcv.network import verbs as network
from mcv.recovery import claims, journal_recovery
from mcv.status import cluster as status_cluster
from mcv.status import history, report, resources, vms
from mcv.storage import volumes
from mcv.vm import capacity, change, create, delete, image, live, migrate, power, register

OPERATOR_ONLY = frozenset({"operator"})
PEER_ONLY = frozenset({"peer"})
OPERATOR_OR_PEER = frozenset({"operator", "peer"})

Where = Callable[[Host, dict[str, Any]], str]


def _here(host: Host, params: dict[str, Any]) -> str:
    return host.name


def _owner(host: Host, params: dict[str, Any]) -> str:
    """The node a VM belongs to; here, where the VM does not exist, to say so."""
    vm = host.read().vms.get(params.get("name", ""))
    return vm.node if vm else host.name


def _named(host: Host, params: dict[str, Any]) -> str:
    """The node that the call names, or the owner of its VM."""
    return params.get("node") or _owner(host, params)


def _taker(host: Host, params: dict[str, Any]) -> str:
    """The node that is to have a VM: named beside its parameters, or the owner."""
    return params.pop("node", None) or _owner(host, params)


def _owner_to_be(host: Host, params: dict[str, Any]) -> str:
    """A new VM's owner: named beside its parameters, and no parameter itself."""
    return params.pop("node", None) or host.name


def _coordinator(host: Host, params: dict[str, Any]) -> str:
    return host.read().coordinator or host.name


def _another(host: Host, params: dict[str, Any]) -> str:
    """A member that stays: who leaves cannot write its own removal down."""
    others = [name for name in host.read().online if name != host.name]
    return others[0] if params.get("node") == host.name and others else host.name


@dataclass(frozen=True)
class Operation:
    """One row: the function, who may ask, and how it is served.

    `right`: for superusers alone. `job`: it lasts, and is followed. `to`: the node that
    carries it out, to which an operator's call is forwarded once. `step`: served under the
    VM's lock and for its claim alone. `any_epoch`: answered also to who is out of step.
    `sender`: the caller's name is a parameter. `pid`: the caller's process is.
    """

    function: Callable[..., Any]
    who: frozenset[str]
    right: bool = False
    job: bool = False
    to: Where = _here
    timeout: float = 10.0
    step: bool = False
    any_epoch: bool = False
    sender: bool = False
    pid: bool = False


def _change(function: Callable[..., Any], to: Where = _here) -> Operation:
    """Something that an operator asks for, that changes something, and may take its time."""
    return Operation(function, OPERATOR_OR_PEER, right=True, job=True, to=to)


def _step(function: Callable[..., Any], timeout: float = 120.0) -> Operation:
    return Operation(function, PEER_ONLY, step=True, timeout=timeout)


def _question(function: Callable[..., Any], timeout: float = 5.0) -> Operation:
    return Operation(function, PEER_ONLY, timeout=timeout, any_epoch=True)


def _read(function: Callable[..., Any]) -> Operation:
    return Operation(function, OPERATOR_ONLY)


HOURS = 6 * 3600.0

TABLE: dict[str, Operation] = {
    # The cluster
    "cluster.info": _read(status_cluster.info),
    "cluster.check": _read(runner.check),
    "cluster.fix": _change(runner.fix),
    "cluster.facts": Operation(facts.facts, OPERATOR_ONLY, timeout=30),
    "cluster.host_key": Operation(join.host_key, OPERATOR_ONLY, timeout=30),
    "cluster.add_node": _change(join.add_node),
    "cluster.remove_node": _change(members.remove_node, to=_another),
    "cluster.stage_join": Operation(join.stage_join, OPERATOR_ONLY, right=True),
    "cluster.unstage_join": Operation(join.unstage_join, OPERATOR_ONLY, right=True),
    "node.offline": _change(members.offline),
    "node.online": _change(members.online),
    "node.last_seen": _read(members.last_seen),
    "cluster.sync": _change(divergence.sync),
    "config.sync": Operation(divergence.begin_epoch, PEER_ONLY, timeout=30, any_epoch=True),
    "cluster.leave": _change(leaving.leave),
    "permission.add": _change(permissions.add),
    "permission.remove": _change(permissions.remove),
    "permission.list": _read(permissions.list_),
    "config.show": _read(history.show),
    "config.history": _read(history.history),
    "config.diff": _read(history.diff),
    # What members say to each other about the document
    "config.poll": _question(consensus_calls.poll),
    "config.fetch": _question(consensus_calls.fetch),
    "config.propose": Operation(consensus_calls.propose, PEER_ONLY, timeout=25),
    "config.accept": Operation(consensus_calls.accept, PEER_ONLY, any_epoch=True, sender=True),
    "config.commit": Operation(consensus_calls.commit, PEER_ONLY, any_epoch=True),
    "config.install": Operation(consensus_calls.install, PEER_ONLY, any_epoch=True),
    "config.declare": Operation(members.declare, PEER_ONLY, timeout=30),
    "member.adopt": Operation(join.adopt, PEER_ONLY, any_epoch=True),
    "member.blank": Operation(join.blank, PEER_ONLY, any_epoch=True),
    "member.welcome": _step(join.welcome),
    "member.dismiss": _step(join.dismiss),
    "member.hand_secret": _step(join.hand_secret),
    # Work under way
    "job.list": _read(journal_recovery.list_jobs),
    "job.own": _question(journal_recovery.own_jobs),
    "job.show": _read(journal_recovery.show_job),
    "job.follow": Operation(journal_recovery.follow, OPERATOR_OR_PEER, to=_named, any_epoch=True),
    "job.cancel": Operation(journal_recovery.cancel_job, OPERATOR_ONLY, right=True),
    "job.stop": _question(journal_recovery.stop_job),
    "journal.keep": Operation(journal_recovery.keep_entry, PEER_ONLY, any_epoch=True),
    "journal.copy": _question(claims.copy_entry),
    "journal.drop": Operation(journal_recovery.drop_entry, PEER_ONLY, any_epoch=True),
    "repair": _change(claims.repair),
    "repair.here": Operation(journal_recovery.resume_here, PEER_ONLY, timeout=120),
    "locks.list": _read(claims.list_locks),
    "locks.own": _question(claims.own_locks),
    "locks.clear": _change(claims.clear_lock),
    # Networks
    "network.create": _change(network.create),
    "network.delete": _change(network.delete),
    "network.list": _read(network.list_),
    "node.bridges": _question(network.bridges),
    # VMs
    "node.report": _question(report.report),
    "node.inventory": _question(inventory.inventory),
    "node.mend": Operation(fixes.mend, PEER_ONLY, timeout=120),
    "node.capacity": _question(capacity.capacity, timeout=20),
    "vm.list": _read(vms.list_),
    "vm.info": _read(vms.info),
    "vm.vnc": _question(vms.vnc),
    "vm.take_image": Operation(image.take, OPERATOR_ONLY, right=True, job=True, pid=True),
    "vm.create": _change(create.create, to=_owner_to_be),
    "vm.start": _change(power.start, to=_owner),
    "vm.stop": _change(power.stop, to=_named),
    "vm.shutdown": _change(power.shutdown, to=_owner),
    "vm.reset": _change(power.reset, to=_owner),
    "vm.migrate": _change(migrate.migrate, to=_owner),
    "vm.migrate_live": _change(live.migrate, to=_owner),
    "vm.fits": _question(migrate.fits),
    "vm.update": _change(change.update, to=_owner),
    "vm.delete": _change(delete.delete, to=_owner),
    "vm.register": _change(register.register, to=_taker),
    "vm.prospects": Operation(register.prospects, OPERATOR_OR_PEER, to=_taker),
    "vm.unregister": _change(register.unregister, to=_owner),
    "vm.lock": _change(change.lock),
    "vm.unlock": _change(change.unlock),
    "vm.define": _step(power.define),
    "vm.undefine": _step(power.undefine),
    "vm.power_on": _step(power.power_on, timeout=300),
    "vm.send": _step(live.send, timeout=HOURS),
    "vm.resume_source": _step(live.resume_source),
    "vm.resume_target": _step(live.resume_target),
    "vm.has_arrived": _question(live.has_arrived),
    "vm.discard_target": _step(live.discard_target),
    "vm.fill": _step(create.fill, timeout=HOURS),
    "image.read": _question(image.read, timeout=60),
    "image.drop": _question(image.drop),
    # DRBD and volumes
    "drbd.enable": _change(enable.enable, to=_coordinator),
    "drbd.able": _question(enable.able, timeout=30),
    "drbd.take_secret": Operation(enable.take_secret, PEER_ONLY),
    "drbd.list": _read(resources.list_),
    "drbd.set": _change(enable.set_),
    "drbd.verify": _change(verify.verify, to=_owner),
    "drbd.resync": _change(resync.resync, to=_owner),
    "drbd.resolve": _change(resolve.resolve, to=_owner),
    "drbd.prospects": Operation(resolve.prospects, OPERATOR_OR_PEER, to=_owner, timeout=60),
    "drbd.sides": _question(pairs.sides, timeout=15),
    "drbd.create": _step(roles.create),
    "drbd.remove": _step(roles.remove),
    "drbd.skip_initial_sync": _step(roles.skip_initial_sync, timeout=180),
    "drbd.release": _step(roles.step_down),
    "drbd.two_primaries": _step(roles.two_primaries),
    "drbd.one_primary": _step(roles.one_primary),
    "drbd.promote": _step(roles.promote),
    "drbd.step_down": _step(roles.step_down),
    "drbd.accept_stale": _step(roles.accept_stale),
    "drbd.outdate": _question(roles.outdate),
    "drbd.resync_from_here": _step(resync.resync_from_here),
    "drbd.disconnect": _step(resolve.disconnect),
    "drbd.connect": _step(resolve.connect),
    "drbd.discard_and_reconnect": _step(resolve.discard_and_reconnect),
    "drbd.attach": _step(resync.attach, timeout=600),
    "volume.create": _step(volumes.create, timeout=HOURS),
    "volume.remove": _step(volumes.remove),
    "volume.untag": _step(volumes.untag),
}
