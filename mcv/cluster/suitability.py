"""Can this host be a member of this cluster: one pure function over the facts of both."""

import ipaddress

from mcv.cluster.facts import NodeFacts
from mcv.document.model import Cluster
from mcv.document.vm_nics import macs_of
from mcv.drbd.enable import DrbdAbility
from mcv.errors import Refused
from mcv.settings import is_reachable
from mcv.storage.rooms import IMPLICIT
from mcv.system.addresses import family

CLOCKS = 2.0  # seconds that two clocks may differ
NO_DRBD = DrbdAbility(problem="DRBD was not looked at.")


def problems(
    cluster: Cluster,
    node: str,
    ip_address: str,
    mine: NodeFacts,
    theirs: NodeFacts,
    asked: tuple[float, float],
) -> list[Refused]:
    """Everything that speaks against node joining, all at once; nothing where it suits.

    `asked` is this host's time before and after the facts of the other were asked for.
    """
    found = [
        *_who(cluster, node, ip_address, theirs),
        *_blank(node, theirs),
        *_domains(cluster, node, theirs),
        *_macs(cluster, node, theirs),
        *_way(node, ip_address, mine, theirs),
        *_clocks(node, theirs, asked),
        *_machine(cluster, node, mine, theirs),
    ]
    return [Refused(message, hint) for message, hint in found]


def address_problem(cluster: Cluster, ip_address: str) -> Refused | None:
    """What is wrong with an address before anybody is asked."""
    try:
        address = ipaddress.ip_address(ip_address)
    except ValueError:
        return Refused(f"{ip_address!r} is no IP address.", "It looks like 10.0.0.2 or fd00::2.")
    if not is_reachable(ip_address):
        return Refused(f"{ip_address} is no address that another node can reach.")
    for member in cluster.nodes.values():
        if member.ip_address == str(address):
            return Refused(f"{ip_address} is the address of {member.name}.", "See: mcv info")
        # A member without a cluster address is a finding of its own: see _way.
        if member.ip_address and family(member.ip_address) != address.version:
            return Refused(
                f"{ip_address} is of IPv{address.version}, the address of {member.name} is not.",
                "All members have cluster addresses of one family: set address in "
                "/etc/mcv/mcv.conf, and restart mcvd.",
            )
    return None


def _who(cluster: Cluster, node: str, ip: str, theirs: NodeFacts) -> list[tuple[str, str]]:
    found = []
    if theirs.node != node:
        found.append(
            (
                f"The host at {ip} is called {theirs.node}, not {node}.",
                f"mcv cluster add-node --node {theirs.node} --ip-address {ip}",
            )
        )
    if any(theirs.hostname == member.hostname for member in cluster.nodes.values()):
        found.append((f"There is a member with the host name {theirs.hostname} already.", ""))
    if not theirs.resolves and not theirs.address:
        found.append(
            (
                f"The host name of {node} resolves to a loopback address there, or to none.",
                "Mend /etc/hosts there, or set address in /etc/mcv/mcv.conf, and restart mcvd.",
            )
        )
    elif theirs.address != ip:
        found.append(
            (
                f"{node} calls {theirs.address or 'nothing'} its cluster address, not {ip}.",
                "Set address in /etc/mcv/mcv.conf there, and restart mcvd.",
            )
        )
    return found


def _blank(node: str, theirs: NodeFacts) -> list[tuple[str, str]]:
    found = []
    others = [name for name in theirs.members if name != theirs.node]
    if others:
        found.append(
            (
                f"{node} is in the cluster {theirs.cluster} with {', '.join(others)}.",
                f"There: mcv cluster remove-node --node {node}",
            )
        )
    if theirs.vms:
        found.append(
            (
                f"{node} has VMs: {', '.join(theirs.vms)}.",
                "Join in the other direction, or delete them there.",
            )
        )
    if theirs.networks:
        found.append(
            (f"{node} has networks: {', '.join(theirs.networks)}.", "mcv network delete, there")
        )
    if theirs.rights_of:
        found.append(
            (
                f"{node} has rights of its own, which would end: {', '.join(theirs.rights_of)}.",
                "Grant here what is to hold in the cluster; then, there: mcv permission revoke; "
                "for a superuser: mcv permission remove.",
            )
        )
    return found


def _domains(cluster: Cluster, node: str, theirs: NodeFacts) -> list[tuple[str, str]]:
    """Domains there that have the name or the UUID of a VM of the cluster."""
    uuids = {vm.uuid for vm in cluster.vms.values()}
    return [
        (
            f"{node} has a domain {domain.name}, and the cluster has a VM of that "
            f"{'name' if domain.name in cluster.vms else 'UUID'}.",
            f"On {node}, when it is off: virsh domrename {domain.name} NEW"
            if domain.uuid not in uuids
            else f"On {node}, when it is off: virsh undefine {domain.name}",
        )
        for domain in theirs.domains or ()
        if domain.name in cluster.vms or domain.uuid in uuids
    ]


def _macs(cluster: Cluster, node: str, theirs: NodeFacts) -> list[tuple[str, str]]:
    """Cards of domains there that have the MAC of a VM of the cluster."""
    taken = {mac: vm.name for vm in cluster.vms.values() for mac in macs_of(vm)}
    return [
        (
            f"{node} has a domain {domain.name} with the MAC {mac}, which is {taken[mac]}'s.",
            f"Give one of them another: on {node}, virsh edit {domain.name}",
        )
        for domain in theirs.domains or ()
        for mac in domain.macs
        if mac in taken
    ]


def _way(node: str, ip: str, mine: NodeFacts, theirs: NodeFacts) -> list[tuple[str, str]]:
    found = []
    if not mine.address:
        found.append(
            (
                "This node has no cluster address: its host name resolves to a loopback one.",
                "Mend /etc/hosts, or set address in /etc/mcv/mcv.conf, and restart mcvd.",
            )
        )
    for reached, way in (
        (mine.reached, f"This node does not reach mcvd of {node}"),
        (theirs.reached, f"{node} does not reach mcvd of this node"),
    ):
        found += [
            (f"{way} at {address}.", "Is a firewall between them?")
            for address, good in reached.items()
            if not good
        ]
    if mine.drbd_address and theirs.drbd_address:
        here, there = family(mine.drbd_address), family(theirs.drbd_address)
        if here != there:
            found.append(
                (
                    f"The DRBD address of {node} is of IPv{there}, that of this node of IPv{here}.",
                    "Set drbd_address in /etc/mcv/mcv.conf on one of them, and restart mcvd.",
                )
            )
    return found


def _clocks(node: str, theirs: NodeFacts, asked: tuple[float, float]) -> list[tuple[str, str]]:
    before, after = asked
    off = max(before - theirs.time, theirs.time - after, 0.0)
    if off <= CLOCKS:
        return []
    return [
        (
            f"The clock of {node} differs by {off:.0f} s or more.",
            "Set both with NTP (systemd-timesyncd or chrony).",
        )
    ]


def _machine(
    cluster: Cluster, node: str, mine: NodeFacts, theirs: NodeFacts
) -> list[tuple[str, str]]:
    found = [(f"{node}: {said}", "") for said in theirs.trouble]
    if theirs.version != mine.version:
        found.append(
            (
                f"{node} runs mcv {theirs.version}, this node {mine.version}.",
                "Install the same version on both.",
            )
        )
    room = theirs.capacity
    if room is not None:
        for network in cluster.networks.values():
            bridge = network.bridge_on(node)
            if bridge not in room.bridges and not network.nat:
                found.append((f"{node} has no bridge {bridge} ({network.name}).", ""))
        group = room.rooms.get(IMPLICIT)
        if cluster.drbd.enabled and group is not None and group.problem:
            found.append((f"{node}: {group.problem}", group.hint))
    if cluster.drbd.enabled:
        found += _drbd(node, mine.drbd or NO_DRBD, theirs.drbd or NO_DRBD)
    for name, there, here in (
        ("emulator", theirs.emulator, mine.emulator),
        ("domain_type", theirs.domain_type, mine.domain_type),
    ):
        if there != here:
            found.append(
                (
                    f"{node} has {name.replace('_', ' ')} {there}, this node {here}.",
                    f"Make them equal, or set {name} in /etc/mcv/mcv.conf.",
                )
            )
    return found


def _drbd(node: str, mine: DrbdAbility, theirs: DrbdAbility) -> list[tuple[str, str]]:
    if theirs.problem:
        return [(f"{node}: {theirs.problem}", theirs.hint)]
    if theirs.generation != mine.generation:
        return [
            (
                f"{node} has DRBD {theirs.generation}, this node {mine.generation}.",
                "Make them equal.",
            )
        ]
    return []
