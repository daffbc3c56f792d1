"""Two servers with an address that moves: the page of it, from scratch, and its owner dies."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.lab import Lab, Node, wait_until
from tests.lab.address_watch import AddressWatch, takings
from tests.lab.cluster import PASSWORD_FILE, VOTING, mcv, reset, told
from tests.lab.ha.fenced import (
    ADDRESS,
    BRIDGE,
    await_state,
    give_agents,
    served,
    state,
    with_front,
)
from tests.lab.ha.trio import Trio, all_hold
from tests.lab.host import TREE
from tests.lab.image import PASSWORD
from tests.lab.lab import side_by_side
from tests.lab.power import PASSWORD as PLUGS
from tests.lab.power import SERVICE, Power

pytestmark = pytest.mark.row

PAGE = (TREE / "docs/two-servers.md").read_text(encoding="utf-8")
SECRET = "/root/strip.pw"
TAKEN = 60.0  # s from a death to an address that answers, scripts started, in a busy lab
RETURN = 300.0  # s for a boot, a minute online, and a move
SOON = 1.0  # s from a gratuitous ARP to the first answer that a client gets

# The page's names and devices, and what they are in the lab.
HERE = (
    (r"--witness w --ip-address \S+", "--witness {witness} --password-file {password} --yes"),
    (r"fence_apc_snmp ip=\S+ --secret-file \S+", "fence_lab {device} --secret-file {secret}"),
    (r"(fence test n\d --off)", r"\1 --yes"),
    (r"ha arm", "ha arm --trust-softdog"),
    (r"\bn([12])\b", r"node\1"),
    (r"192\.0\.2\.80", ADDRESS),
    (r"\bbr0\b", BRIDGE),
)


class Typed(NamedTuple):
    """A command of the page, without `mcv`, and the node where it is typed."""

    node: str
    words: str


def ten(page: str) -> list[Typed]:
    """The commands of the page's one list of them."""
    [block] = re.findall(r"\*\*The ten\*\*.*?\n\n(.*?)\n\n", page, flags=re.S)
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    found = []
    for line in lines:
        words, _, note = line.strip().removeprefix("mcv ").partition("#")
        found.append(Typed("node2" if "on n2" in note else "node1", words.strip()))
    return found


def in_the_lab(words: str, **values: str) -> str:
    for pattern, here in HERE:
        words = re.sub(pattern, here, words)
    return words.format(**values)


def script(name: str) -> str:
    """The page's script, under a name; db has no port to listen on."""
    [text] = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.S)
    text = text.replace("192.0.2.80", ADDRESS).replace("www.pid", f"{name}.pid")
    if name == "www":
        return str(text)
    return re.sub(r"--exec .* ;;\nstop", "--exec /bin/sleep -- 100000 ;;\nstop", text)


class Two(NamedTuple):
    """The two servers, the machine beside them, and the power of all three."""

    one: Node
    two: Node
    witness: Node
    power: Power

    @property
    def nodes(self) -> list[Node]:
        return [self.one, self.two]


@pytest.fixture
def two(ha_lab: Lab, machines: Trio) -> Iterator[Two]:
    """Two hosts that are one cluster, with bridges and scripts, and nothing else yet."""
    first = machines.nodes[0]
    first.run("mcv ha disarm --yes", check=False, timeout=120)
    side_by_side(reset, machines.nodes)
    one, two, witness = machines.nodes[0], machines.nodes[1], machines.witness
    witness.run(f"systemctl disable --now mcv-etcd; rm -rf {VOTING}", check=False)
    with_front([one, two, witness])
    for node in (one, two):
        node.run(f"mkdir -p /srv/www && echo {node.name} > /srv/www/index.html")
        for name in ("db", "www"):
            node.put(script(name), f"/etc/init.d/{name}")
            node.run(f"chmod 755 /etc/init.d/{name}")
    one.put(f"{PASSWORD}\n", PASSWORD_FILE)
    one.put(f"{PLUGS}\n", SECRET)
    where = f"--node {two.name} --ip-address {two.address}"
    mcv(one, f"cluster add-node {where} --password-file {PASSWORD_FILE} --yes")
    give_agents([one, two])
    with served(ha_lab, [one, two]) as power:
        yield Two(one, two, witness, power)
        for node in (one, two):
            if not node.is_running:
                node.boot()
        one.run("mcv ha service stop www", check=False, timeout=120)
        one.run("mcv ha disarm --yes", check=False, timeout=120)
        one.run("mcv cluster store unanimous --yes", check=False, timeout=180)
        witness.run(f"systemctl disable --now mcv-etcd; rm -rf {VOTING}", check=False)


def all_online(nodes: list[Node]) -> bool:
    shown = [told(node, "info")["nodes"] for node in nodes]
    return {row["status"] for rows in shown for row in rows} == {"online"}


def type_all(two: Two) -> None:
    """The ten commands of the page, one after the other."""
    values = {
        "witness": f"{two.witness.name} --ip-address {two.witness.address}",
        "password": PASSWORD_FILE,
        "device": f"ip={SERVICE} ipport={two.power.port} username=root",
        "secret": SECRET,
    }
    for typed in ten(PAGE):
        node = next(node for node in two.nodes if node.name == typed.node)
        wait_until(lambda: all_online(two.nodes), 120, "both nodes to be in contact")
        said = node.run(f"mcv {in_the_lab(typed.words, **values)}", check=False, timeout=600)
        # 4: it is armed, and etcd was too slow for what comes after.
        assert said.code in ((0, 4) if typed.words == "ha arm" else (0,)), (typed, said)
    wait_until(lambda: all_hold(two.nodes), 60, "both nodes to have their lease")


FETCH = f"import urllib.request as u; print(u.urlopen('http://{ADDRESS}/').read().decode())"


def serves(witness: Node) -> str:
    """What a client gets from the address; "" where it gets nothing."""
    asked = f'timeout 5 /usr/bin/python3 -c "{FETCH}"'
    return witness.run(asked, check=False).stdout.strip()


def started(node: Node) -> list[int]:
    """When db and www started on a node, by the clock of its systemd."""
    units = [f"mcv-service-www-{number}" for number in (1, 2)]
    shown = "systemctl show --property=ActiveEnterTimestampMonotonic --value"
    return [int(node.run(f"{shown} {unit}").stdout) for unit in units]


def test_a_service_moves_with_its_address_and_goes_home(two: Two) -> None:
    one, other, witness = two.one, two.two, two.witness
    type_all(two)
    await_state(one, "www", one, 30)
    wait_until(lambda: serves(witness) == one.name, 30, "www to answer")
    assert started(one) == sorted(started(one))

    with AddressWatch(witness, BRIDGE, ADDRESS, two.nodes) as seen:
        wait_until(lambda: seen.holders() == (one.name,), 10, "the address to be seen")
        one.run("kill $(cat /run/www.pid)")
        wait_until(lambda: serves(witness) == "", 10, "the end of what answers")
        wait_until(lambda: serves(witness) == one.name, 60, "www to be started again")
        assert state(other, "www")[0] == one.name

        one.kill()
        wait_until(lambda: serves(witness) == other.name, TAKEN, "www to answer on node2")
        assert "off" in two.power.actions(str(one.number))
        await_state(other, "www", other, 30)
        assert started(other) == sorted(started(other))

        wait_until(lambda: one.is_running, 120, "the host to be switched on again")
        one.wait()
        seen.meet(one)
        wait_until(lambda: serves(witness) == one.name, RETURN, "www to be home again")
        await_state(other, "www", one, 30)
        assert seen.holders() == (one.name,)

        seen.require_one_holder()
        taken = takings(seen.said)
    print(f"announced, and answered after: {taken}")
    assert [each.host for each in taken][-2:] == [other.name, one.name]
    assert all(each.answered is not None and each.answered <= SOON for each in taken)
