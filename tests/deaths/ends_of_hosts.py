"""How a story of a host's device, or of an overlay, may end; the words of tests/deaths/ends.py."""

from mcv.document.hardware import Device
from tests.deaths.ends import was_done_in_part
from tests.fakes.cluster import FakeCluster

WATCHDOG = "<domain><devices><watchdog model='i6300esb' action='reset'/></devices></domain>"


def has_device(cluster: FakeCluster, node: str) -> str:
    """The document, the definition and the guest have the device, or none of them has.

    A guest from which it could not be taken keeps it, and its operator was told.
    """
    stick = Device(type="usb", address="1d6b:0002", node=node)
    domains = cluster.domains[node]
    found = {
        "entry": cluster.read(node).vm("web1").devices == (stick,),
        "definition": "<hostdev" in domains.defined["web1"],
        "guest": domains.host_devices.has("web1", stick),
    }
    if found == {"entry": False, "definition": False, "guest": True}:
        return "either" if was_done_in_part(cluster, node) else str(found)
    return _ended(found)


def has_overlay(cluster: FakeCluster, node: str) -> str:
    """The document and the definition have the overlay, or neither has; no trial is left."""
    for name, domains in cluster.domains.items():
        if left := set(domains.defined) - {"web1"}:
            return f"{left} on {name}"
    found = {
        "entry": cluster.read(node).vm("web1").overlay == WATCHDOG,
        "definition": "<watchdog" in cluster.domains[node].defined["web1"],
    }
    return _ended(found)


def has_link_down(cluster: FakeCluster, node: str) -> str:
    """The document, the definition and the guest say of the card's link the same."""
    domains = cluster.domains[node]
    found = {
        "entry": [nic.link for nic in cluster.read(node).vm("web1").nics] == ["down"],
        "definition": "<link state='down'" in domains.defined["web1"].replace('"', "'"),
        "guest": "<link state='down'" in domains.xml("web1").replace('"', "'"),
    }
    return _ended(found)


def _ended(found: dict[str, bool]) -> str:
    if all(found.values()):
        return "whole"
    return str(found) if any(found.values()) else "nothing"
