"""How a story of a whole node may end; the words are those of tests/deaths/ends.py."""

from mcv.cluster import leaving, members
from mcv.document import etcd_voters
from mcv.document.model import Vm
from tests.deaths.ends import End, has_addresses, other
from tests.fakes.armed import keys
from tests.fakes.cluster import FakeCluster
from tests.fakes.process_killer import until_quiet


def drained(cluster: FakeCluster, node: str) -> str:
    """The other node is drained and empty; or it is draining still, and has what did not leave.

    What an offline node has of its journal is over when it is back, and goes then.
    """
    member = cluster.read(node).nodes[other(node)]
    vm = cluster.read(node).vm("web1")
    if wrong := _wrong(cluster, vm, home=other(node)):
        return wrong
    if not member.draining:
        return "nothing" if vm.node == other(node) and member.status == "online" else f"{member}"
    if member.maintenance and vm.node == node and member.status == "offline":
        cluster.run(other(node), members.online, name=other(node))
        until_quiet(cluster)
        return "whole"
    return "either" if member.status == "online" else f"{member}, and {vm.node} owns it"


def evacuated(cluster: FakeCluster, node: str) -> str:
    """web1 left the other node, or did not; the node takes VMs as before."""
    member = cluster.read(node).nodes[other(node)]
    vm = cluster.read(node).vm("web1")
    if wrong := _wrong(cluster, vm, home=other(node)):
        return wrong
    if member.draining or member.maintenance or member.status != "online":
        return f"{member}"
    return "whole" if vm.node == node else "nothing"


def restored(cluster: FakeCluster, node: str) -> str:
    """The other node takes VMs, and web1 is there or did not go back; or it is drained still."""
    member = cluster.read(node).nodes[other(node)]
    vm = cluster.read(node).vm("web1")
    if wrong := _wrong(cluster, vm, home=other(node)):
        return wrong
    if member.draining or member.status == "offline":
        is_as_before = member.draining and member.maintenance and vm.node == node
        return "nothing" if is_as_before else f"{member}, and {vm.node} owns it"
    return "whole" if vm.node == other(node) else "either"


def _wrong(cluster: FakeCluster, vm: Vm, home: str) -> str:
    """web1 runs on its owner alone, or has ended; its home stays."""
    states = {name: door.state("web1") for name, door in cluster.domains.items()}
    elsewhere = {name: state for name, state in states.items() if name != vm.node}
    if vm.home != home:
        return f"its home is {vm.home}"
    if set(elsewhere.values()) != {"absent"} or states[vm.node] not in ("running", "stopped"):
        return f"{vm.node} owns it: {states}"
    return ""


def in_etcd(cluster: FakeCluster, node: str) -> str:
    """The document lies in etcd, which is set up and runs on each node; or none of all that."""
    says = {name: host.read().store is not None for name, host in cluster.hosts.items()}
    runs = {name: door.unit.is_running() for name, door in cluster.etcd_of.items()}
    set_up = {name: door.unit.is_set_up for name, door in cluster.etcd_of.items()}
    found = {*says.values(), *runs.values(), *set_up.values()}
    words = {True: "whole", False: "nothing"}
    return words[found.pop()] if len(found) == 1 else f"{says}, runs {runs}, set up {set_up}"


def left_etcd(cluster: FakeCluster, node: str) -> str:
    """The survivors agree unanimously and hold one document, or etcd has what it had."""
    survivors = {name: host for name, host in cluster.hosts.items() if name not in cluster.down}
    if len({host.consensus.committed()[1] for host in survivors.values()}) != 1:
        return f"{ {name: host.read().generation for name, host in survivors.items()} }"
    if cluster.read(node).store is not None:
        return "nothing"
    runs = [name for name in survivors if cluster.etcd_of[name].unit.is_there]
    return f"etcd still runs on {runs}" if runs else "whole"


def agreed(cluster: FakeCluster, node: str) -> str:
    """Whoever was called dead has come back to what the survivors have, or to etcd."""
    end = left_etcd(cluster, node)
    return "either" if end in ("whole", "nothing") else end


def out_of_etcd(cluster: FakeCluster, node: str) -> str:
    """The other way round."""
    words = {"whole": "nothing", "nothing": "whole"}
    end = in_etcd(cluster, node)
    return words.get(end, end)


def votes(who: str) -> End:
    """A node is a member and votes in etcd, or is blank and nobody trusts it there."""

    def end(cluster: FakeCluster, node: str) -> str:
        if wrong := of_etcd(cluster, node):
            return wrong
        nodes = cluster.read(node).nodes
        if who in nodes:
            online = nodes[who].status == "online" and who in cluster.read(who).online
            return "whole" if online and who in cluster.voting.members else f"{nodes[who].status}"
        if list(cluster.read(who).nodes) != [who]:
            cluster.look(who)  # it was away when it was removed
            cluster.run(who, leaving.leave)
        is_trusted = cluster.voting.trusts(f"certificate of {who}")
        is_blank = list(cluster.read(who).nodes) == [who]
        if is_trusted or not is_blank or cluster.etcd_of[who].unit.is_there:
            return f"{who}: trusted {is_trusted}, blank {is_blank}"
        return "nothing"

    return end


def votes_at_its_address(cluster: FakeCluster, node: str) -> str:
    if wrong := of_etcd(cluster, node):
        return wrong
    address = cluster.read(node).node(node).ip_address
    if cluster.voting.members[node].address != address:
        return f"etcd: {cluster.voting.members[node].address}, in the document: {address}"
    return has_addresses(cluster, node)


def all_vote(cluster: FakeCluster, node: str) -> str:
    return of_etcd(cluster, node) or "whole"


def of_etcd(cluster: FakeCluster, node: str) -> str:
    """What of etcd is not as the document says: who votes, whom each voter trusts."""
    document = cluster.read(node)
    if document.store is None:
        return "the document lies elsewhere"
    members = cluster.voting.members
    if {name for name, each in members.items() if each.votes} != set(document.store.voters):
        return f"{document.store.voters} in the document, in etcd {members}"
    if len(members) != len(document.store.voters):
        return f"a learner is left: {members}"
    terms = etcd_voters.terms(document)
    for name, door in sorted(cluster.etcd_of.items()):
        if name in document.nodes and name not in members and door.unit.is_there:
            return f"{name} does not vote, and has an etcd"
        if name in members and not (door.unit.serves and door.runs_by(name, terms)):
            return f"{name} runs by other terms than the document's: {door.unit.trusted}"
    return ""


def armed(cluster: FakeCluster, node: str) -> str:
    """The document says armed, and each node has its lease; or neither."""
    says = {name: host.read().ha.armed for name, host in cluster.hosts.items()}
    told = {name: host.lease.told() is not None for name, host in cluster.hosts.items()}
    found = {*says.values(), *told.values()}
    words = {True: "whole", False: "nothing"}
    return words[found.pop()] if len(found) == 1 else f"armed {says}, told {told}"


def taken(cluster: FakeCluster, node: str) -> str:
    """n3 is offline by evidence and its lease taken, or neither."""
    member = cluster.read(node).node("n3")
    has_lease = bool(cluster.etcd.read_locally(keys(cluster).lease("n3")).kvs)
    words = {(True, True): "whole", (False, False): "nothing"}
    found = member.evidence is not None and member.status == "offline", has_lease
    return words.get(found, f"{member}, taken: {has_lease}")
