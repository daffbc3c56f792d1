"""Networks and cards: bridges that a node lacks, MACs that are had twice."""

from collections.abc import Iterator

from mcv.check.finding import ClusterSnapshot, Finding
from mcv.check.inventory import Inventory
from mcv.document.vm_nics import macs_of
from mcv.rules.finding import Severity

Findings = Iterator[Finding]


def judge(scene: ClusterSnapshot) -> Findings:
    """What a start, a move or a change of a card will stumble on, and guests that disturb others.

    What a node lacks it says itself, but for a bridge: the document names it.
    """
    for inventory in scene.seen.values():
        yield from _bridges(scene, inventory)
        for lack in inventory.networks:
            yield _error(inventory.node, lack.network, lack.message, lack.hint)
        yield from _of_domains(scene, inventory)
    yield from _of_vms(scene)


def _bridges(scene: ClusterSnapshot, inventory: Inventory) -> Findings:
    for name, network in sorted(scene.cluster.networks.items()):
        bridge = network.bridge_on(inventory.node)
        if bridge not in inventory.bridges:
            yield _error(
                inventory.node,
                name,
                f"Network {name}: {inventory.node} has no bridge {bridge}.",
                f"mcvd makes it; why it could not: journalctl -u mcvd on {inventory.node}"
                if network.nat
                else f"Make it there: ip link add {bridge} type bridge, and for the next "
                "boot in the host's network configuration",
            )


def _of_vms(scene: ClusterSnapshot) -> Findings:
    """MACs that two cards of the document have, as one of before schema 4 may."""
    had: dict[str, str] = {}
    for name, vm in sorted(scene.cluster.vms.items()):
        for mac in macs_of(vm):
            if mac in had:
                other = had[mac]
                both = f"{name} twice" if other == name else f"{other} and {name}"
                yield _error(
                    vm.node,
                    name,
                    f"The MAC {mac} is had by {both}.",
                    f"Give {name} another card: mcv nic add {name} --network N, then: "
                    f"mcv nic remove {name} {mac}",
                )
            had.setdefault(mac, name)


def _of_domains(scene: ClusterSnapshot, inventory: Inventory) -> Findings:
    """MACs of VMs that domains have which are not mcv's."""
    had = {mac: vm.name for vm in scene.cluster.vms.values() for mac in macs_of(vm)}
    for domain, seen in sorted((inventory.domains or {}).items()):
        for mac in [] if seen.ours else [mac.lower() for mac, _ in seen.substance.nics]:
            if mac in had:
                yield _error(
                    inventory.node,
                    domain,
                    f"The domain {domain} on {inventory.node}, which is not mcv's, has the MAC "
                    f"{mac} of {had[mac]}.",
                    f"On {inventory.node}: virsh edit {domain}",
                )


def _error(node: str, subject: str, message: str, hint: str) -> Finding:
    return Finding(severity=Severity.ERROR, node=node, subject=subject, message=message, hint=hint)
