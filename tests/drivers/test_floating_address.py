"""The address of a service: the exact commands, and what a real segment makes of them."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.drivers.floating_address import FloatingAddress
from mcv.errors import CommandFailed, Refused

ADDRESS = "192.0.2.80/24"
MAC = "52:54:00:aa:bb:cc"
REPLY = f"Unicast reply from 192.0.2.80 [{MAC.upper()}]  0.7ms; Received 1 response(s)"
PROBE = "arping -D -c 3 -w 3 -I br0 192.0.2.80"


class Host:
    """The commands that were run; what `ip` tells, and what fails."""

    def __init__(self, devices: Path) -> None:
        self.ran: list[str] = []
        self.own: dict[str, list[str]] = {"br0": ["10.0.0.1"]}
        self.failing: dict[str, str] = {}
        self.stuck = False
        self.devices = devices
        self.address = FloatingAddress(self.run, devices=devices)

    def run(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        line = " ".join(command)
        if line == "ip -json -4 address show":
            return json.dumps(
                [
                    {"ifname": device, "addr_info": [{"local": each} for each in own]}
                    for device, own in self.own.items()
                ]
            )
        self.ran.append(line)
        for words, why in self.failing.items():
            if words in line:
                raise CommandFailed(f"`{line}` exited with 1: {why}")
        if line.startswith("ip address add"):
            self.own.setdefault(command[-1], []).append(command[3].partition("/")[0])
        if line.startswith("ip address del") and not self.stuck:
            self.own[command[-1]].remove(command[3].partition("/")[0])
        return ""

    def device(self, name: str, *ports: str, **files: str) -> Path:
        path = self.devices / name
        path.mkdir(parents=True)
        for file, text in {"flags": "0x1003", "carrier": "1", **files}.items():
            (path / file).write_text(f"{text}\n")
        for port in ports:
            (path / "brif" / port).mkdir(parents=True)
        return path


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "net")


def test_an_address_is_free_where_nobody_answers(host: Host) -> None:
    assert host.address.holder(ADDRESS, "br0") == ""
    assert host.ran == [PROBE]


def test_who_answers_for_an_address_is_named_by_its_mac(host: Host) -> None:
    host.failing["arping"] = REPLY

    assert host.address.holder(ADDRESS, "br0") == MAC


def test_an_address_that_cannot_be_asked_about_is_not_free(host: Host) -> None:
    host.failing["arping"] = "Interface br0 is not ARPable"

    with pytest.raises(CommandFailed, match="not ARPable"):
        host.address.holder(ADDRESS, "br0")


def test_an_address_is_put_on_its_bridge_once(host: Host) -> None:
    host.address.add(ADDRESS, "br0")
    host.address.add(ADDRESS, "br0")

    assert host.ran == ["ip address add 192.0.2.80/24 dev br0"]
    assert host.address.where(ADDRESS) == "br0"
    assert host.address.where("192.0.2.8/24") == ""


def test_an_address_is_put_on_through_the_gate_alone(host: Host) -> None:
    class Shut:
        def begin(self, what: str, act: object) -> None:
            raise Refused(f"n1 may not {what} now.")

    host.address._gate = Shut()  # type: ignore[assignment]

    with pytest.raises(Refused, match=r"may not take 192\.0\.2\.80/24"):
        host.address.add(ADDRESS, "br0")
    assert host.ran == []


def test_an_address_is_announced_both_ways(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.failing["-U"] = "no luck"

    with caplog.at_level(logging.WARNING):
        host.address.announce(ADDRESS, "br0")

    assert host.ran == [f"arping {how} -c 2 -w 3 -I br0 192.0.2.80" for how in ("-U", "-A")]
    assert "no luck" in caplog.text


def test_an_address_is_taken_away_from_wherever_it_is(host: Host) -> None:
    host.own["eth1"] = ["192.0.2.80"]

    host.address.remove(ADDRESS)
    host.address.remove(ADDRESS)

    assert host.ran == ["ip address del 192.0.2.80/24 dev eth1"]


def test_an_address_that_stays_is_told_of(host: Host) -> None:
    host.own["br0"].append("192.0.2.80")
    host.stuck = True

    with pytest.raises(CommandFailed, match="still on br0"):
        host.address.remove(ADDRESS)


def test_what_ip_does_not_tell_is_an_error(host: Host) -> None:
    host.address._run = lambda *command, stdin="", timeout=60.0: "nonsense"

    with pytest.raises(CommandFailed, match="printed no addresses"):
        host.address.where(ADDRESS)


# The link


def test_a_bridge_without_a_way_out_has_the_link_that_the_kernel_tells(host: Host) -> None:
    bridge = host.device("br0", "vnet0")
    host.device("vnet0")

    assert host.address.has_link("br0")
    (bridge / "carrier").write_text("0\n")
    assert not host.address.has_link("br0")


@pytest.mark.parametrize("mark", ["device", "bonding", "lower_eth0"])
def test_a_guest_s_port_is_no_link_where_another_port_leads_out(host: Host, mark: str) -> None:
    host.device("br0", "vnet0", "out0")
    host.device("vnet0")
    out = host.device("out0", carrier="0")
    (out / mark).mkdir()

    assert not host.address.has_link("br0")
    (out / "carrier").write_text("1\n")
    assert host.address.has_link("br0")


def test_a_bridge_that_is_down_or_not_there_has_no_link(host: Host) -> None:
    host.device("br0", flags="0x1002")

    assert not host.address.is_up("br0")
    assert not host.address.has_link("br0")
    assert not host.address.has_link("br9")


# A real segment: two hosts, and a third machine that looks at them

REAL = os.geteuid() == 0 and shutil.which("arping") is not None and shutil.which("ip") is not None
NAMES = ("a", "b", "c")
CODE = """
import json, sys
from mcv.drivers.floating_address import FloatingAddress
print(json.dumps(getattr(FloatingAddress(), sys.argv[1])(*sys.argv[2:])))
"""


class Real:
    """Three namespaces with a bridge br0 each, on one switch in a fourth."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def ip(self, *words: str) -> str:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def within(self, name: str, *command: str) -> str:
        return self.ip("netns", "exec", self.prefix + name, *command)

    def up(self) -> None:
        for name in ("s", *NAMES):
            self.ip("netns", "add", self.prefix + name)
            bridge = "br0"
            self.within(name, "ip", "link", "add", bridge, "type", "bridge")
            self.within(name, "ip", "link", "set", bridge, "up")
        for name in NAMES:
            end = ("peer", "name", f"to-{name}", "netns", f"{self.prefix}s")
            self.within(name, "ip", "link", "add", "p0", "type", "veth", *end)
            for where, port in ((name, "p0"), ("s", f"to-{name}")):
                self.within(where, "ip", "link", "set", port, "master", "br0", "up")
        self.within("c", "ip", "address", "add", "192.0.2.1/24", "dev", "br0")

    def down(self) -> None:
        for name in ("s", *NAMES):
            subprocess.run(["ip", "netns", "del", self.prefix + name], capture_output=True)

    def mac(self, name: str) -> str:
        return self.within(name, "cat", "/sys/class/net/br0/address").strip()

    def call(self, name: str, verb: str, *arguments: str) -> object:
        return json.loads(self.within(name, sys.executable, "-c", CODE, verb, *arguments))

    def neighbour(self) -> str:
        """The MAC that the third machine has for the address."""
        words = self.within("c", "ip", "neighbour", "show", "192.0.2.80").split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else ""

    def ask(self) -> None:
        """Have the third machine ask for the address, as any client does."""
        code = "import socket; socket.socket(2, 2).sendto(b'x', ('192.0.2.80', 9))"
        self.within("c", sys.executable, "-c", code)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    found = Real(f"mcvt{os.getpid() % 10000}")
    try:
        found.up()
        yield found
    finally:
        found.down()


@pytest.mark.skipif(not REAL, reason="only root makes namespaces, with iproute2 and arping")
def test_on_a_real_segment_an_address_is_found_announced_and_watched(real: Real) -> None:
    assert real.call("a", "holder", ADDRESS, "br0") == ""

    real.call("a", "add", ADDRESS, "br0")
    assert real.call("a", "where", ADDRESS) == "br0"
    assert real.call("b", "holder", ADDRESS, "br0") == real.mac("a")
    real.ask()
    assert real.neighbour() == real.mac("a")

    real.call("a", "remove", ADDRESS)
    assert real.call("a", "where", ADDRESS) == ""
    real.call("b", "add", ADDRESS, "br0")
    assert real.neighbour() == real.mac("a")  # without a word it keeps the former host
    real.call("b", "announce", ADDRESS, "br0")
    assert real.neighbour() == real.mac("b")

    assert real.call("b", "has_link", "br0") is True
    real.within("s", "ip", "link", "set", "to-b", "down")
    assert real.call("b", "has_link", "br0") is False
