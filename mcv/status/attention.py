"""What of the cluster needs somebody, a line each, with the command that helps."""

from collections.abc import Callable, Iterator, Mapping

from mcv.document.arms import has_leases
from mcv.document.model import Cluster, Node
from mcv.errors import (
    CallLost,
    McvError,
    NotMember,
    NotThatNode,
    NotUnderstood,
    PeerUnreachable,
    SlowAnswer,
    Unreadable,
)
from mcv.host import Host
from mcv.recovery.rows import Unfinished
from mcv.rules import replica
from mcv.rules.replica import Kind
from mcv.status import findings, pools, voters
from mcv.status.report import NodeReport, Reports, told


def attention(host: Host, seen: Reports, voting: Mapping[str, str] | None = None) -> list[str]:
    """The lines of `mcv info`: this node's contact, silent peers, troubles, cut off jobs.

    `voting` are the states of etcd's voters that were asked, by name.
    """
    lines = [*_itself(host)]
    nodes = host.read().nodes
    others = sorted(name for name in seen if name != host.name)
    for name in (*others, host.name):
        report = seen[name]
        if isinstance(report, NodeReport):
            lines += report.trouble
            lines += [_unfinished(name, left) for left in report.left]
        elif name in nodes:  # else it was removed while it was asked
            in_etcd = host.read().store is not None
            lines += _silent(host.name, nodes[name], report, host.advice, in_etcd)
    lines += _draining(host.read())
    lines += _without_lease(host.read(), seen)
    lines += voters.attention(host.read(), seen, voting or {})
    lines += _behind(host)
    lines += [wait for report in told(seen).values() for wait in report.waits]
    return [*lines, *_urgent(host, seen), *pools.attention(host.read(), seen)]


def _draining(cluster: Cluster) -> Iterator[str]:
    """Nodes whose drain was not brought to its end, and which no operation is at work on."""
    for name, node in sorted(cluster.nodes.items()):
        if node.draining and node.status == "online" and node.claim is None:
            owned = sorted(vm.name for vm in cluster.vms.values() if vm.node == name)
            left = f"{', '.join(owned)} did not leave it" if owned else "it is empty"
            yield (
                f"{name} is draining and takes no VMs; {left}: mcv node drain {name}, "
                f"or back: mcv node restore {name}"
            )


def _without_lease(cluster: Cluster, seen: Reports) -> Iterator[str]:
    """Online members of an armed cluster that may run no guest now."""
    for name in cluster.online if has_leases(cluster) else []:
        report = seen.get(name)
        if isinstance(report, NodeReport) and not report.lease_left:
            yield (
                f"{name} has no valid lease: nothing starts there, and its guests are ended: "
                f"mcv ha status; on {name}: journalctl -u mcv-lease"
            )


def _behind(host: Host) -> Iterator[str]:
    """Replicas that etcd's marks call behind, as this node read them last."""
    for vm, disk in host.read().replicated():
        if mark := host.observations.behind.get(disk.resource):
            yield (
                f"of {vm.name} {mark}; until its resync has ended nobody takes it over there "
                f"without a word: mcv info {vm.name}"
            )


def _itself(host: Host) -> Iterator[str]:
    if damage := host.consensus.damage:
        yield f"{host.name} takes part in nothing: {damage.message} {damage.hint}".rstrip()
        return
    for name in sorted(host.consensus.diverged):
        yield (
            f"{name} holds another document than {host.name}: mcv cluster sync --from NODE, "
            "after a look at both with mcv cluster check"
        )
    if gap := host.observations.gap:
        yield f"{gap} They were not judged here: mcv config history (told until mcvd restarts)"
    if not host.settings.address:
        yield (
            f"{host.name} has no cluster address: its host name resolves to none but loopback; "
            "set address in /etc/mcv/mcv.conf"
        )
    if not host.consensus.in_contact:
        yield f"{host.name} is not in contact with the cluster: it starts no VM until it is"


def _silent(
    me: str, node: Node, error: McvError, advice: Callable[..., str], in_etcd: bool
) -> Iterator[str]:
    """What to do about a member whose report did not arrive."""
    name, is_online = node.name, node.status == "online"
    if isinstance(error, NotMember):
        if is_online:
            yield f"{name} says that {me} is no member any more: mcv cluster leave"
    elif isinstance(error, NotThatNode):
        yield (
            f"what answers at the address of {name} has another key: is the address used "
            "twice, or was the host installed anew? If it was: "
            f"mcv node offline {name} --confirm-dead, then "
            f"mcv cluster remove-node --node {name} --force, then add it again"
        )
    elif isinstance(error, NotUnderstood):
        yield f"{error.message} {error.hint}"
    elif isinstance(error, SlowAnswer):
        yield error.sentence
    elif is_online and isinstance(error, Unreadable):
        yield f"{name} takes part in nothing, so nothing can be changed: {error.sentence}"
    elif is_online and not isinstance(error, PeerUnreachable | CallLost):
        yield f"{name} does not tell what runs there: {error.sentence}"
    elif is_online and in_etcd:
        yield f"{name} does not answer. {advice(name)}"  # whether that holds up etcd is told apart
    elif is_online:
        yield f"{name} does not answer, so nothing can be changed until it is back. {advice(name)}"


def _urgent(host: Host, seen: Reports) -> list[str]:
    """Split brains and suspended I/O, where a guest or its data waits for somebody; all else
    is in the VM's row of `mcv list`."""
    cluster = host.read()
    lines = [
        finding.sentence
        for vm, disk in cluster.replicated()
        for finding in replica.findings(findings.pair(cluster, vm, disk, seen))
        if finding.kind in (Kind.SPLIT_BRAIN, Kind.SUSPENDED)
    ]
    return list(dict.fromkeys(lines))


def _unfinished(node: str, left: Unfinished) -> str:
    why = f" ({left.trouble})" if left.trouble else ""
    return f"{left.title} is unfinished on {node}{why}: mcv repair"
