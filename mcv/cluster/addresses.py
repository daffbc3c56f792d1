"""Other addresses for a living node: proved first, in its mcv.conf next, then in the document."""

from dataclasses import replace

from msgspec import Struct, structs

from mcv.cluster import addresses_judge, etcd_members
from mcv.cluster.conf_file import former_kept, restore_former, why_not_written, write_addresses
from mcv.document.model import Cluster, Node
from mcv.document.subject import Subject
from mcv.drivers import addresses as own_addresses
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.system.answers import ask_typed
from mcv.system.fanout import ask_all
from mcv.transaction.plan import Item, Step, change, on, together

PROOF = 10.0  # s that a member has to reach a node at its new addresses


class NodeAddresses(Struct, frozen=True, kw_only=True):
    """The addresses of a node: for the cluster, and for DRBD."""

    name: str
    ip_address: str
    drbd_address: str


def set_(
    host: Host,
    name: str,
    ip_address: str | None = None,
    drbd_address: str | None = None,
    dry_run: bool = False,
) -> NodeAddresses | DryRun:
    """Give this node other addresses; what is not named stays.

    Precondition: they are live here, and every online member reaches this node's daemon at
    them; every replica whose nodes are online is connected, and none is at work. Effect: this
    node listens at both of its addresses until all members know; each resource is disconnected
    and connected again, its guest runs on. All members are claimed, so that no other node is set
    meanwhile. Raises DoneInPart where a replica does not find its peer at the new address.
    """

    def prepare() -> Prepared[NodeAddresses]:
        new = _proved(host, name, ip_address, drbd_address)
        answer = NodeAddresses(name=name, ip_address=new.ip_address, drbd_address=new.drbd_address)
        return Prepared(addresses_plan(host.read(), new, *_of_etcd(host, new)), answer)

    members = [Subject.node(member) for member in sorted(host.read().nodes)]
    return host.operate(members, f"set addresses of {name}", prepare, dry_run)


def _of_etcd(host: Host, new: Node) -> tuple[str, etcd_members.Added]:
    """This node's certificate for its new address, "" where it needs none, and etcd's steps."""
    cluster = host.read()
    if cluster.store is None or new.ip_address == cluster.node(new.name).ip_address:
        return "", etcd_members.NOTHING
    certificate = host.etcd.certificate_anew(new.ip_address)
    return certificate, etcd_members.readdressing(cluster, new, certificate, host.job.id)


def addresses_plan(
    cluster: Cluster,
    new: Node,
    certificate: str = "",
    of_etcd: etcd_members.Added = etcd_members.NOTHING,
) -> list[Item]:
    """Listen at the new addresses, write them down, wait for DRBD, leave the former address.

    With a certificate for etcd, etcd follows before and after.
    """
    name, old = new.name, cluster.node(new.name)
    there = {"ip_address": new.ip_address, "drbd_address": new.drbd_address}
    known = {"etcd_certificate": certificate} if certificate else {}
    plan: list[Item] = [
        *of_etcd.first,
        Step(
            on(name, "node.take_addresses", node=name, **there),
            undo=on(
                name,
                "node.keep_addresses",
                node=name,
                ip_address=old.ip_address,
                drbd_address=old.drbd_address,
            ),
        ),
        Step(change("node.addresses", name=name, **there, **known), commits=True),
        *of_etcd.last,
    ]
    peers = sorted(
        {node for _, disk in cluster.replicated() if name in disk.places for node in disk.places}
        & set(cluster.online) - {name}
    )
    if peers and new.drbd_address != old.drbd_address:
        plan.append(
            together(
                Step(on(peer, "node.await_replicas", node=name), may_fail=True) for peer in peers
            )
        )
    plan.append(Step(on(name, "node.leave_former", node=name), may_fail=True))
    return plan


def _proved(host: Host, name: str, ip_address: str | None, drbd_address: str | None) -> Node:
    """The node with its new addresses; Refused with all that is wrong, the claims left alone."""
    host.consensus.require_contact()
    cluster = host.read()
    old = cluster.node(name)
    if name != host.name:
        raise Refused(f"The addresses of {name} are set on {name}.")
    problems: list[Refused] = []
    new = addresses_judge.wanted(cluster, old, ip_address, drbd_address, problems)
    problems += etcd_members.why_not_readdressing(host, cluster)
    refuse_all(problems)
    named = {new.ip_address: "address", new.drbd_address: "drbd_address"}
    added = [each for each in named if each not in (old.ip_address, old.drbd_address)]
    own = own_addresses.own()
    problems += [
        Refused(f"{name} has no address {each}.", "On it: ip address add ADDRESS/LEN dev DEVICE")
        for each in added
        if each not in own
    ]
    problems += filter(None, [why_not_written(host.settings)])
    problems += addresses_judge.why_members_claimed(cluster, host.job.id)
    if new.drbd_address != old.drbd_address:
        problems += _why_not_parted(host, cluster, name)
    if not problems:
        problems += _unreached(host, cluster, new)
    refuse_all(problems)
    return new


def _why_not_parted(host: Host, cluster: Cluster, name: str) -> list[Refused]:
    """Why replicas cannot be parted for a moment, as the daemon of each member sees them."""
    answers = ask_typed(host.call, cluster.online, "node.apart", PROOF, dict[str, str], node=name)
    found: dict[str, str] = {}
    problems = []
    for node, answer in answers.items():
        if isinstance(answer, McvError):
            problems.append(Refused(f"{node} is needed: {answer.message}", answer.hint))
        else:
            found |= answer
    return problems + [
        Refused(f"{resource} {why}.", "See: mcv drbd list") for resource, why in found.items()
    ]


def _unreached(host: Host, cluster: Cluster, new: Node) -> list[Refused]:
    """Why members do not reach this node at its new addresses; it listens there meanwhile."""
    old = cluster.node(new.name)
    pairs = ((old.ip_address, new.ip_address), (old.drbd_address, new.drbd_address))
    asked = list(dict.fromkeys(after for before, after in pairs if after != before))
    others = [name for name in cluster.online if name != host.name]
    try:
        for address in asked:
            host.also_listen(address)
        answers = ask_typed(
            host.call, others, "node.unreached", PROOF, list[str], node=host.name, addresses=asked
        )
    finally:
        host.listen_only(host.settings.address)
    problems = []
    for node, answer in answers.items():
        if isinstance(answer, McvError):
            problems.append(Refused(f"{node} is needed: {answer.message}", answer.hint))
        else:
            hint = "Is a firewall between them, or is the network another?"
            problems += [Refused(why, hint) for why in answer]
    return problems


def unreached(host: Host, node: str, addresses: list[str]) -> list[str]:
    """Why this node does not reach a member at some of these addresses, proved by its key."""

    def look(address: str, _: str, timeout: float) -> bool:
        host.reach(node, address)
        return True

    return [
        f"{host.name} does not reach {node} at {address}: {getattr(answer, 'message', answer)}"
        for address, answer in ask_all(look, addresses, "", PROOF / 2).items()
        if answer is not True
    ]


# Steps of plans, on the node that is set, or on its peers: the dispatcher has checked the claim.


def take_addresses(host: Host, node: str, ip_address: str, drbd_address: str) -> None:
    """Listen at another address too, and keep both in mcv.conf; harmless when that is done."""
    host.also_listen(ip_address)
    write_addresses(host.settings, ip_address, drbd_address)
    host.settings = replace(host.settings, address=ip_address, drbd_address=drbd_address)


def keep_addresses(host: Host, node: str, ip_address: str, drbd_address: str) -> None:
    """Take mcv.conf back as it was, and listen at the former address alone."""
    restore_former(host.settings)
    host.settings = replace(host.settings, address=ip_address, drbd_address=drbd_address)
    host.also_listen(ip_address)
    host.listen_only(ip_address)


def leave_former(host: Host, node: str) -> None:
    """Listen at the new address alone."""
    host.listen_only(host.settings.address)
    former_kept(host.settings).unlink(missing_ok=True)


# What a node does by itself


def follow_conf(host: Host) -> None:
    """One round of the loop: what mcv.conf says of this node is in the document too.

    Where the document lies in etcd, another address is an operation: etcd follows it.
    """
    cluster, settings = host.read(), host.settings
    node = cluster.nodes.get(host.name)
    if node is None or not settings.address or node.status != "online" or node.claim is not None:
        return  # under a claim the claim's plan knows which of them count
    there = {"ip_address": settings.address, "drbd_address": settings.drbd_address}
    new = structs.replace(node, **there)
    if new == node:
        return
    if cluster.store is None or new.ip_address == node.ip_address:
        host.update("node.addresses", f"{host.name} has new addresses", name=host.name, **there)
        return

    def prepare() -> Prepared[NodeAddresses]:
        refuse_all(etcd_members.why_not_readdressing(host, host.read()))
        certificate, of_etcd = _of_etcd(host, new)
        known = {"etcd_certificate": certificate}
        step = Step(change("node.addresses", name=host.name, **there, **known), commits=True)
        answer = NodeAddresses(name=host.name, **there)
        return Prepared([*of_etcd.first, step, *of_etcd.last], answer)

    host.operate(Subject.node(host.name), f"{host.name} has new addresses", prepare)
