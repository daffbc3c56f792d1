"""The cluster's port at two addresses of a node, while one takes the place of the other."""

import pytest

from mcv.errors import McvError, Refused
from mcv.rpc.peers import Address
from tests.rpc.conftest import Wire


def ask(wire: Wire, address: str) -> None:
    key = wire.identities["n1"].certificate_pem
    peers = wire.peers().only(Address(address, wire.port, key))
    try:
        assert peers.call("n1", "say", {"x": 1}, {}, 5) == {"x": 1}
    finally:
        peers.close()


def test_a_node_is_reached_at_both_until_it_leaves_one(wire: Wire) -> None:
    with pytest.raises(McvError):
        ask(wire, "127.0.0.2")

    for _ in range(2):
        wire.server.also_listen("127.0.0.2")
        for address in ("127.0.0.1", "127.0.0.2"):
            ask(wire, address)

    wire.server.listen_only("127.0.0.2", grace=0)
    ask(wire, "127.0.0.2")
    with pytest.raises(McvError):
        ask(wire, "127.0.0.1")


def test_an_address_of_another_host_is_refused(wire: Wire) -> None:
    with pytest.raises(Refused, match=r"cannot listen on 192\.0\.2\.1"):
        wire.server.also_listen("192.0.2.1")
    ask(wire, "127.0.0.1")


def test_a_node_without_the_port_opens_it_nowhere(wire: Wire) -> None:
    wire.server.stop_peers()

    with pytest.raises(Refused, match="is not open on this node"):
        wire.server.also_listen("127.0.0.2")
