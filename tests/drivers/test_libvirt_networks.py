"""libvirt's own networks: which range they get, and what libvirt is told of them."""

import ipaddress
from collections.abc import Iterator

import libvirt
import pytest

from mcv.drivers.libvirt_connection import Connection
from mcv.drivers.libvirt_networks import (
    RANGES,
    Networks,
    free_range,
    network_xml,
    range_in,
    routes,
)
from mcv.errors import CommandFailed, HypervisorFailed

NET = ipaddress.IPv4Network


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A libvirt of the test driver, all of one process, emptied of mcv's networks afterwards."""
    connection = Connection("test:///default", dict)
    yield connection
    for network in connection.current().listAllNetworks(0):
        if network.name().startswith("mcv-"):
            if network.isActive():
                network.destroy()
            network.undefine()


def test_a_network_gives_all_addresses_but_its_own() -> None:
    xml = network_xml("out", "mcvnat0", NET("192.168.130.0/24"))

    assert '<bridge name="mcvnat0" stp="on" delay="0" />' in xml
    assert '<ip address="192.168.130.1" netmask="255.255.255.0">' in xml
    assert '<range start="192.168.130.2" end="192.168.130.254" />' in xml
    assert range_in(xml) == NET("192.168.130.0/24")


@pytest.mark.parametrize(
    ("taken", "wanted", "found"),
    [
        ([], None, "192.168.130.0/24"),
        (["192.168.130.7/32"], None, "192.168.131.0/24"),
        (["192.168.128.0/21"], None, "192.168.136.0/24"),
        ([], "192.168.177.0/24", "192.168.177.0/24"),
        (["192.168.177.0/25"], "192.168.177.0/24", "192.168.130.0/24"),
        (["192.168.0.0/16"], None, None),
    ],
)
def test_a_range_clashes_with_no_route(
    taken: list[str], wanted: str | None, found: str | None
) -> None:
    range_ = free_range(map(NET, taken), NET(wanted) if wanted else None)

    assert range_ == (NET(found) if found else None)


def test_routes_are_those_of_every_table() -> None:
    asked: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        asked.append(command)
        return '[{"dst": "default"}, {"dst": "10.0.0.0/24"}, {"dst": "10.0.0.5", "type": "local"}]'

    assert routes(run) == [NET("10.0.0.0/24"), NET("10.0.0.5/32")]
    assert asked == [("ip", "-json", "-4", "route", "show", "table", "all")]
    with pytest.raises(CommandFailed, match="told no routes"):
        routes(lambda *_: "nonsense")


def test_a_network_is_made_started_kept_and_taken_away(connection: Connection) -> None:
    networks = Networks(connection, lambda: [RANGES[0]])

    networks.bring_up("out", "mcvnat0")
    networks.bring_up("out", "mcvnat0")

    present = connection.current().networkLookupByName("mcv-out")
    assert networks.active() == {"out": True} and not present.autostart()
    assert range_in(present.XMLDesc(0)) == RANGES[1]
    networks.take_away("out")
    networks.take_away("out")
    assert networks.active() == {}


def test_an_inactive_network_moves_where_its_range_is_taken_meanwhile(
    connection: Connection,
) -> None:
    taken: list[ipaddress.IPv4Network] = []
    networks = Networks(connection, lambda: taken)
    networks.bring_up("out", "mcvnat0")
    connection.current().networkLookupByName("mcv-out").destroy()
    taken.append(RANGES[0])

    assert networks.active() == {"out": False}
    networks.bring_up("out", "mcvnat0")

    present = connection.current().networkLookupByName("mcv-out")
    assert range_in(present.XMLDesc(0)) == RANGES[1] and present.isActive()


def test_without_a_free_range_it_is_said(connection: Connection) -> None:
    networks = Networks(connection, lambda: [NET("192.168.0.0/16")])

    with pytest.raises(HypervisorFailed, match=r"routes into every range from 192\.168\.130"):
        networks.bring_up("out", "mcvnat0")


def test_libvirts_schema_accepts_it() -> None:
    libvirt.registerErrorHandler(lambda context, error: None, None)
    connection = libvirt.open("test:///default")
    xml = network_xml("valid", "mcvnat9", RANGES[0])

    defined = connection.networkDefineXMLFlags(xml, libvirt.VIR_NETWORK_DEFINE_VALIDATE)

    defined.undefine()
    with pytest.raises(libvirt.libvirtError, match="failed to validate"):
        broken = xml.replace("forward", "backward")
        connection.networkDefineXMLFlags(broken, libvirt.VIR_NETWORK_DEFINE_VALIDATE)
    connection.close()
