"""The table: every operation with its callers, right, subject, carrying node and timeout."""

from mcv.api import consensus_calls
from mcv.api.node_table import NODE_TABLE
from mcv.api.operation import (
    NODE,
    NODE_BY_NAME,
    NODES,
    OPERATOR_ONLY,
    OPERATOR_OR_PEER,
    PEER_ONLY,
    VM,
    Operation,
    Right,
    admin,
    another,
    itself,
    leaver,
    named,
    named_or_here,
    owner,
    owner_or_here,
    question,
    read,
    step,
)
from mcv.api.operation import change as change_vm
from mcv.api.operation import power as power_vm
from mcv.api.seeing_table import SEEING
from mcv.api.storage_table import STORAGE
from mcv.check import (
    fixes,
    inventory,
    runner,
)
from mcv.cluster import (
    cpu_baseline,
    divergence,
    facts,
    join,
    leaving,
    members,
    permissions,
    replacing,
)
from mcv.network import nat
from mcv.network import verbs as network
from mcv.recovery import (
    claims,
    jobs,
    journal_recovery,
)
from mcv.status import cluster as status_cluster
from mcv.status import (
    history,
    report,
    vms,
)
from mcv.vm import (
    arrivals,
    capacity,
    change,
    create,
    delete,
    domains_elsewhere,
    guest_exec,
    image,
    image_use,
    live,
    migrate,
    pausing,
    pending,
    power,
    processor,
    reboot,
    register,
    rename,
    saved_states,
    seed,
)

HOURS = 6 * 3600.0

TABLE: dict[str, Operation] = {
    **NODE_TABLE,
    # The cluster
    "cluster.info": read(status_cluster.info),
    "cluster.check": read(runner.check),
    "cluster.fix": admin(runner.fix),
    "cluster.facts": Operation(facts.facts, OPERATOR_ONLY, Right.ADMIN, timeout=30, asks=True),
    "cluster.host_key": Operation(join.host_key, OPERATOR_ONLY, Right.ADMIN, timeout=30, asks=True),
    "cluster.add_node": admin(join.add_node, NODE),
    "cluster.remove_node": admin(members.remove_node, NODE, to=another),
    "cluster.stage_join": Operation(join.stage_join, OPERATOR_ONLY, Right.ADMIN),
    "cluster.unstage_join": Operation(join.unstage_join, OPERATOR_ONLY, Right.ADMIN),
    "node.offline": admin(members.offline, NODES, to=leaver, offline_too=True),
    "node.online": admin(members.online, NODE_BY_NAME, to=itself, offline_too=True),
    "node.replace": admin(replacing.replace, NODE),
    "node.last_seen": read(members.last_seen),
    "cluster.sync": admin(divergence.sync),
    "config.sync": Operation(divergence.begin_epoch, PEER_ONLY, timeout=30, any_epoch=True),
    "cluster.leave": admin(leaving.leave),
    "cluster.cpu_baseline": admin(cpu_baseline.baseline),
    "node.cpu": question(processor.own, timeout=20),
    "node.lacks_cpu": question(processor.lacks, timeout=20),
    "permission.add": admin(permissions.add),
    "permission.remove": admin(permissions.remove),
    "permission.list": read(permissions.list_),
    "config.show": read(history.show),
    "config.history": read(history.history),
    "config.diff": read(history.diff),
    # What members say to each other about the document
    "config.poll": question(consensus_calls.poll),
    "config.fetch": question(consensus_calls.fetch),
    "config.propose": Operation(consensus_calls.propose, PEER_ONLY, timeout=25, sender=True),
    "config.accept": Operation(consensus_calls.accept, PEER_ONLY, any_epoch=True, sender=True),
    "config.commit": Operation(consensus_calls.commit, PEER_ONLY, any_epoch=True, sender=True),
    "config.install": Operation(consensus_calls.install, PEER_ONLY, any_epoch=True),
    "config.declare": Operation(members.declare, PEER_ONLY, timeout=30),
    "member.adopt": Operation(join.adopt, PEER_ONLY, any_epoch=True),
    "member.blank": Operation(leaving.blank_for, PEER_ONLY, any_epoch=True, sender=True),
    "member.welcome": step(join.welcome, subject=NODE),
    "member.dismiss": step(join.dismiss, subject=NODE),
    "member.hand_secret": step(join.hand_secret, subject=NODE),
    # Work under way
    "job.list": read(jobs.list_jobs),
    "job.own": question(jobs.own_jobs),
    "job.show": read(jobs.show_job),
    "job.follow": Operation(
        jobs.follow, OPERATOR_OR_PEER, to=named, any_epoch=True, offline_too=True
    ),
    "job.cancel": Operation(jobs.cancel_job, OPERATOR_ONLY, Right.CHANGE),
    "job.stop": Operation(jobs.stop_job, PEER_ONLY, timeout=5, any_epoch=True),
    "journal.keep": question(journal_recovery.keep_entry, timeout=10, sender=True),
    "journal.copy": question(claims.copy_entry),
    "journal.drop": question(journal_recovery.drop_entry, timeout=10, sender=True),
    "repair": admin(claims.repair),
    "repair.here": Operation(journal_recovery.resume_here, PEER_ONLY, timeout=120),
    "locks.list": read(claims.list_locks),
    "locks.own": question(claims.own_locks),
    "locks.clear": admin(claims.clear_lock),
    **SEEING,
    # Networks
    "network.create": admin(network.create),
    "network.delete": admin(network.delete),
    "network.list": read(network.list_),
    "network.bring_up": Operation(nat.bring_up, PEER_ONLY, timeout=30),
    "node.bridges": question(network.bridges),
    **STORAGE,
    # VMs
    "node.report": question(report.report),
    "node.inventory": question(inventory.inventory),
    "node.mend": Operation(fixes.mend, PEER_ONLY, timeout=120),
    "node.capacity": question(capacity.capacity, timeout=20),
    "vm.list": read(vms.list_),
    "vm.info": read(vms.info, VM),
    "vm.vnc": question(vms.vnc),
    "vm.pending": question(pending.pending),
    "vm.take_image": Operation(image.take, OPERATOR_ONLY, Right.CHANGE, job=True, pid=True),
    "vm.take_seed": Operation(seed.take, OPERATOR_ONLY, Right.CHANGE, pid=True),
    "vm.create": change_vm(create.create, named_or_here, beside="node"),
    "vm.start": power_vm(power.start, owner),
    "vm.stop": power_vm(power.stop, named),
    "vm.shutdown": power_vm(power.shutdown, owner),
    "vm.reset": power_vm(power.reset, owner),
    "vm.exec": Operation(
        guest_exec.begin, OPERATOR_OR_PEER, Right.CHANGE, VM, job=True, to=owner, brief=True
    ),
    "vm.exec_state": Operation(
        guest_exec.state, OPERATOR_OR_PEER, Right.CHANGE, VM, to=owner, timeout=20
    ),
    "vm.agent": question(guest_exec.agent),
    "vm.reboot": power_vm(reboot.reboot, owner),
    "vm.pause": power_vm(pausing.pause, owner),
    "vm.resume": power_vm(pausing.resume, owner),
    "vm.migrate": change_vm(migrate.migrate, owner),
    "vm.migrate_live": change_vm(live.migrate, owner),
    "vm.fits": question(migrate.fits),
    "vm.domains": question(domains_elsewhere.here),
    "vm.update": change_vm(change.update, owner),
    "vm.rename": change_vm(rename.rename, owner),
    "vm.delete": change_vm(delete.delete, owner),
    "vm.register": change_vm(register.register, named, beside="node"),
    "vm.prospects": Operation(
        register.prospects, OPERATOR_OR_PEER, subject=VM, to=named, beside="node"
    ),
    "vm.unregister": change_vm(register.unregister, owner),
    "vm.lock": change_vm(change.lock, owner_or_here),
    "vm.unlock": change_vm(change.unlock, owner_or_here),
    "vm.define": step(power.define),
    "vm.take_name": step(rename.take_name),
    "vm.expect": step(arrivals.expect),
    "vm.undefine": step(power.undefine),
    "vm.discard_saved": step(saved_states.discard),
    "vm.power_on": step(power.power_on, timeout=300),
    "vm.send": step(live.send, timeout=HOURS),
    "vm.resume_source": step(live.resume_source),
    "vm.resume_target": step(live.resume_target),
    "vm.has_arrived": question(live.has_arrived),
    "vm.discard_target": step(live.discard_target),
    "vm.fill": step(create.fill, timeout=HOURS),
    "vm.bring_cd": step(image_use.bring_cd, timeout=HOURS),
    "vm.change_cd": step(image_use.change_cd),
    "vm.adjust": step(pending.adjust),
    "image.read": question(image.read, timeout=60),
    "image.keep": question(image.keep),
    "image.drop": question(image.drop),
}
