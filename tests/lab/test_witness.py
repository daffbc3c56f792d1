"""Two nodes and a witness, a machine with Debian's etcd alone: voting, refreshed, burnt."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.lab import Lab, Node, wait_until
from tests.lab.cluster import (
    PASSWORD_FILE,
    VOTING,
    WITNESS,
    add_witness,
    in_contact,
    mcv,
    told,
    wait_for_contact,
)
from tests.lab.test_addresses import DEVICE
from tests.lab.test_away import CHANGE, READ, timed

pytestmark = pytest.mark.soak

MOVED = "10.99.0.202"


class Voters(NamedTuple):
    one: Node
    two: Node
    witness: Node

    @property
    def nodes(self) -> list[Node]:
        return [self.one, self.two]


@pytest.fixture
def voters(lab: Lab, pair: list[Node]) -> Iterator[Voters]:
    """node1 and node2 are a cluster whose document lies in etcd; the witness votes as well."""
    if told(pair[0], "cluster store")["store"] == "unanimous":
        witness = add_witness(lab, pair[0])
    else:
        witness = lab.node(WITNESS)
        if not witness.is_running:
            witness.boot()
    wait_until(lambda: in_contact(pair), 60, "both nodes to be in contact")
    yield Voters(pair[0], pair[1], witness)
    witness.kill()


def quick(node: Node, words: str, limit: float, code: int = 0) -> str:
    """What a command says; a busy machine may be in the way of some tries."""
    for _ in range(3):
        seconds, said = timed(node, words, code)
        if seconds < limit:
            return said
    pytest.fail(f"mcv {words} took {seconds} s")


def active(node: Node) -> str:
    return node.run("systemctl is-active mcv-etcd", check=False).stdout.strip()


def state(voters: Voters) -> str:
    seen = told(voters.one, "info")["witness"]
    assert (seen["name"], seen["ip_address"]) == (voters.witness.name, voters.witness.address)
    return str(seen["state"])


def test_one_of_the_three_may_be_missing_and_not_two(voters: Voters) -> None:
    one, two, witness = voters
    assert state(voters) in ("leader", "voter")
    assert active(witness) == "active"
    assert witness.run("systemctl is-enabled etcd", check=False).stdout.strip() == "masked"
    witness.run(f"test -e {VOTING}/member -a -d {VOTING}/data/member")
    shown = told(two, "cluster store")
    assert [voter["name"] for voter in shown["voters"]] == ["node1", "node2", witness.name]

    two.kill()
    wait_until(lambda: one.run("mcv permission add alice", check=False).code == 0, 60, "a change")
    witness.run("systemctl stop mcv-etcd")
    said = quick(one, "permission add bob", CHANGE, code=3)
    assert f"2 of 3 are needed, node2 and {witness.name} do not answer" in said
    assert "2 of 3 are needed" in quick(one, "info", READ)
    assert state(voters) == "unreachable"

    witness.run("systemctl start mcv-etcd")
    wait_until(lambda: one.run("mcv permission add bob", check=False).code == 0, 60, "a change")
    two.boot()
    wait_for_contact(voters.nodes)
    assert told(two, "permission list")["superusers"] == ["alice", "bob"]
    for user in ("alice", "bob"):
        mcv(two, f"permission remove {user}")


def test_it_is_brought_certificates_and_a_majority_that_burnt_is_given_up(voters: Voters) -> None:
    one, two, witness = voters
    former = two.address
    two.run(f"ip address add {MOVED}/24 dev {DEVICE.format(address=former)}")
    mcv(one, f"node set node2 --ip-address {MOVED} --drbd-address {former}", timeout=240)
    wait_until(lambda: told(one, "info")["attention"] != [], 30, "attention")
    attention = told(one, "info")["attention"]
    assert [line for line in attention if "mcv cluster store refresh" in line], attention

    refreshed = mcv(one, f"cluster store refresh --password-file {PASSWORD_FILE} --yes")

    assert f"{witness.name} has the certificates" in refreshed.stdout
    wait_for_contact(voters.nodes)
    assert state(voters) in ("leader", "voter")
    mcv(one, f"node set node2 --ip-address {former} --drbd-address {former}", timeout=240)
    device = DEVICE.format(address=MOVED)
    two.run(f"ip address del {MOVED}/24 dev {device}; cp /var/lib/lab-mcv.conf /etc/mcv/mcv.conf")
    mcv(one, f"cluster store refresh --password-file {PASSWORD_FILE} --yes")
    wait_for_contact(voters.nodes)

    two.kill()
    witness.kill()
    gone = mcv(one, f"cluster store unanimous --confirm-dead node2 {witness.name} --yes")
    assert "acknowledged may be missing" in gone.stdout
    wait_until(lambda: active(one) == "inactive", 30, "etcd to be stopped")
    mcv(one, "permission add carol")
    two.boot()
    wait_until(lambda: told(two, "cluster store")["store"] == "unanimous", 60, "node2 to follow")
    wait_for_contact(voters.nodes)
    wait_until(lambda: active(two) == "inactive", 30, "etcd to be stopped")
    mcv(two, "permission remove carol")


def test_the_move_back_takes_all_of_it_away(voters: Voters) -> None:
    one, _, witness = voters

    moved = mcv(one, f"cluster store unanimous --password-file {PASSWORD_FILE} --yes")

    assert moved.stdout == "The members agree unanimously.\n"
    witness.run(f"test ! -e {VOTING} -a ! -e /etc/systemd/system/mcv-etcd.service")
    wait_for_contact(voters.nodes)
