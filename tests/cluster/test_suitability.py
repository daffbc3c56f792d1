"""Can a host be a member: one story for each thing that may speak against it, and all at once."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.cluster import suitability
from mcv.cluster.facts import NamedDomain
from mcv.document.networks import Network, Nic
from mcv.drbd.enable import DrbdAbility
from mcv.storage.rooms import Room
from tests.documents import document, vm
from tests.fakes.facts import ROOM, blank_facts

BASE = document("n1")
MAC = "52:54:00:00:00:01"
VM = replace(vm("web1"), nics=(Nic(network="lan", mac=MAC),))
OTHERS_UUID = "6d637600-0000-4000-8000-00000000000c"
CLUSTER = (
    replace(BASE, drbd=replace(BASE.drbd, enabled=True))
    .with_network(Network(name="lan", bridge="br-lan"))
    .with_vm(VM)
)
MINE = replace(blank_facts("n1", "10.0.0.1"), reached={"10.0.0.2:8420": True})
THEIRS = replace(blank_facts("n2", "10.0.0.2"), reached={"10.0.0.1:8420": True})
ASKED = (999.5, 1000.5)


def problems(mine: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What speaks against n2, where the facts differ so from those of hosts that suit."""
    refusals = suitability.problems(
        CLUSTER, "n2", "10.0.0.2", replace(MINE, **mine), replace(THEIRS, **theirs), ASKED
    )
    return [f"{refusal.message} {refusal.hint}" for refusal in refusals]


def test_a_host_that_suits_has_nothing_against_it() -> None:
    assert problems({}, {}) == []
    guests = [NamedDomain(name="mail", uuid=OTHERS_UUID, macs=["52:54:00:00:00:02"])]
    assert problems({}, {"domains": guests}) == []


NO_GROUP = Room(location="", type="lvm", problem="no group.", hint="vgcreate")

STORIES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"node": "n3", "members": ["n3"]}, "is called n3, not n2.*--node n3"),
    ({}, {"hostname": "n1"}, "member with the host name n1"),
    ({}, {"resolves": "", "address": ""}, "loopback address there.*/etc/hosts"),
    ({}, {"address": "10.0.0.9"}, "calls 10.0.0.9 its cluster address"),
    ({}, {"members": ["n2", "n7"], "cluster": "big"}, "in the cluster big with n7.*remove-node"),
    ({}, {"vms": ["web1"]}, "has VMs: web1"),
    ({}, {"networks": ["lan"]}, "has networks: lan"),
    ({}, {"rights_of": ["%ops", "bob"]}, "rights of its own, which would end: %ops, bob"),
    ({"address": ""}, {}, "no cluster address"),
    ({"reached": {"10.0.0.2:8420": False}}, {}, "This node does not reach mcvd of n2"),
    ({}, {"reached": {"10.0.0.1:8420": False}}, "n2 does not reach mcvd of this node"),
    ({}, {"time": 1003.0}, "differs by 2 s or more.*NTP"),
    ({}, {"time": 900.0}, "differs by 100 s"),
    ({}, {"trouble": ["libvirt: it is down"]}, "n2: libvirt: it is down"),
    (
        {},
        {"domains": [NamedDomain(name="mail", uuid=OTHERS_UUID, macs=[MAC])]},
        f"n2 has a domain mail with the MAC {MAC}, which is web1's.*on n2, virsh edit mail",
    ),
    ({}, {"version": "9.9"}, "runs mcv 9.9, this node 0.1.0"),
    ({}, {"capacity": replace(ROOM, bridges=[])}, r"no bridge br-lan \(lan\)"),
    ({}, {"capacity": replace(ROOM, rooms={"lvm": NO_GROUP})}, "no group. vgcreate"),
    ({}, {"drbd": DrbdAbility(problem="no module.", hint="install")}, "no module. install"),
    ({}, {"drbd": None}, "DRBD was not looked at"),
    ({}, {"drbd": DrbdAbility(generation=9)}, "has DRBD 9, this node 8"),
    ({}, {"emulator": "/usr/bin/other"}, "has emulator /usr/bin/other"),
    ({}, {"domain_type": "qemu"}, "has domain type qemu, this node kvm"),
    (
        {},
        {"domains": [NamedDomain(name="web1", uuid=OTHERS_UUID)]},
        "n2 has a domain web1, and the cluster has a VM of that name.*virsh domrename web1 NEW",
    ),
    (
        {},
        {"domains": [NamedDomain(name="old", uuid=VM.uuid)]},
        "n2 has a domain old, and the cluster has a VM of that UUID.*virsh undefine old",
    ),
]


@pytest.mark.parametrize(("mine", "theirs", "said"), STORIES)
def test_what_speaks_against_it_is_said_in_one_sentence(
    mine: dict[str, Any], theirs: dict[str, Any], said: str
) -> None:
    found = problems(mine, theirs)

    assert len(found) == 1 and re.search(said, found[0])


def test_everything_is_said_at_once() -> None:
    theirs: dict[str, Any] = {}
    for _, difference, _ in STORIES:
        theirs = {**difference, **theirs}

    found = problems({"address": "", "reached": {"10.0.0.2:8420": False}}, theirs)

    assert len(found) >= 13 and len(set(found)) == len(found)


def test_clocks_may_differ_by_what_asking_took_and_two_seconds() -> None:
    for time in (997.6, 1002.4):
        assert problems({}, {"time": time}) == []
    for time in (997.4, 1002.6):
        assert len(problems({}, {"time": time})) == 1


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("10.0.0", "no IP address"),
        ("node2", "no IP address"),
        ("127.0.0.1", "no address that another node can reach"),
        ("0.0.0.0", "no address that another node can reach"),
        ("224.0.0.1", "no address that another node can reach"),
        ("10.0.0.1", "is the address of n1"),
        ("fe80::1", "no address that another node can reach"),
        ("fd00::2", "is of IPv6, the address of n1 is not"),
    ],
)
def test_an_address_is_judged_before_anybody_is_asked(address: str, said: str) -> None:
    problem = suitability.address_problem(CLUSTER, address)

    assert problem is not None and said in problem.message


def test_a_good_address_is_one() -> None:
    assert suitability.address_problem(CLUSTER, "10.0.0.2") is None
    assert suitability.address_problem(CLUSTER, "10.9.0.2") is None


def test_a_founder_without_an_address_is_told_so_and_not_that_mcvd_failed() -> None:
    """Its host name resolves to a loopback address alone, as an installer leaves it."""
    founder = replace(BASE, nodes={"n1": replace(BASE.nodes["n1"], ip_address="")})

    assert suitability.address_problem(founder, "10.0.0.2") is None
    assert suitability.address_problem(founder, "127.0.0.1") is not None
