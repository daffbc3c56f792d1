"""IP addresses of either family: one way of writing, also with a port."""

import pytest

from mcv.system import addresses, ping


@pytest.mark.parametrize(
    ("address", "text"), [("10.0.0.1", "10.0.0.1:8420"), ("fd00::1", "[fd00::1]:8420")]
)
def test_an_address_with_its_port_is_read_back(address: str, text: str) -> None:
    assert addresses.with_port(address, 8420) == text
    assert addresses.without_port(text) == (address, 8420)


def test_one_address_has_one_way_of_writing() -> None:
    assert addresses.canonical("FD00:0:0::0002") == "fd00::2"
    with pytest.raises(ValueError):
        addresses.canonical("node2")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("fd00::1:2:3:4", "fd00::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_host_may_choose_any_address_of_its_network(address: str, network: str) -> None:
    assert addresses.network(address) == network


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_this_host_answers_to_a_ping_of_either_family(address: str) -> None:
    assert ping.pings(address, 2.0)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_answer_of_another_kind_is_none(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name in ("REPLY", "REPLY_6"):
        monkeypatch.setattr(ping, name, 99)

    assert not ping.pings(address, 0.2)
