"""mcv node power-off and wake as an operator reads them."""

from tests.commands.conftest import FakeDaemon, Speak

MAC = "52:54:00:10:99:03"
BY_PACKET = {
    "node": "n3",
    "plugs": [],
    "packets": {"n1": ["255.255.255.255 by br0"], "n2": ["255.255.255.255 by br0"]},
    "macs": [MAC],
    "trouble": "",
}


def test_a_node_that_is_powered_off_comes_with_the_way_back(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("node.power_off", {"node": "n3", "boot": "", "moved": ["web1", "web2"]})

    heard = mcv("node power-off n3 --yes")

    assert heard.out == (
        "n3 powers off. web1, web2 left it. Back with: mcv node wake n3, then mcv node restore n3\n"
    )


def test_with_its_guests_nothing_has_left_it(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("node.power_off", {"node": "n3", "boot": "b1", "moved": []})

    assert mcv("node power-off n3 --shutdown --yes").out == "n3 powers off.\n"


def test_a_node_is_woken_by_its_plugs(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("node.wake", {**BY_PACKET, "plugs": ["pdu1:7", "bmc3"], "packets": {}})

    said = mcv("node wake n3").out

    assert said == (
        "n3 is switched on by pdu1:7, bmc3. Whether it has come up is told by: mcv info\n"
    )


def test_a_packet_names_the_cards_and_who_sent_it_and_why(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("node.wake", {**BY_PACKET, "trouble": "pdu1:7: Connection timed out"})

    said = mcv("node wake n3").out

    assert said.startswith("n3: pdu1:7: Connection timed out. Magic packets for n3 (")
    assert f"({MAC}) were sent by n1, n2. " in said


def test_who_waits_is_told_that_it_is_back(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("node.wake", BY_PACKET)
    daemon.job("node.await_return", {"node": "n3"})

    said = mcv("node wake n3 --wait").out

    assert said == f"Magic packets for n3 ({MAC}) were sent by n1, n2. It is back.\n"
    assert ("node.await_return", {"node": "n3", "boot": ""}) in daemon.calls
