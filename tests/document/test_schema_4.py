"""Schema 4: what a document of before becomes in it, and its changes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mcv.document.changes import recomputed
from mcv.document.claim import Claim
from mcv.document.hardware import Device
from mcv.document.model import Cluster, Vm, decode, digest, encode
from mcv.document.networks import Network, Nic
from mcv.document.rights import Grant
from mcv.document.schema_4 import words_of, words_of_node
from mcv.errors import Busy, McvError, NotFound, Refused
from mcv.system.answers import plain as as_plain
from tests.documents import after, document, member, of_schema, vm

RECORDED = Path(__file__).parent.parent / "recorded"
MAC = "52:54:00:00:00:01"
LAN = document("n1", "n2", "n3").with_network(Network(name="lan", bridge="br0"))
WITH_VM = LAN.with_vm(vm(home="n1"))
CLAIMED = after(WITH_VM, "vm.claim", "job1.1", name="web1", why="a test")


def nic(**values: Any) -> dict[str, Any]:
    return {"network": "lan", "mac": MAC, **values}


# A document of before


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_each_recorded_generation_of_before_keeps_its_text_and_its_hash(schema: int) -> None:
    paths = sorted(RECORDED.glob(f"{schema}/trees/*/var/*/history/*.json"))

    read = {path: decode(path.read_text(encoding="utf-8")) for path in paths}

    assert len(read) > 10 and any(one.vms for one in read.values())
    for path, one in read.items():
        assert one.schema == schema
        assert path.name.split("-")[1].removesuffix(".json") == digest(one)[:16], path


def test_a_document_of_schema_3_has_no_word_of_schema_4() -> None:
    text = encode(replace(WITH_VM.with_vm(vm(nics=(Nic(network="lan", mac=MAC),))), schema=3))

    raw = msgspec.json.decode(text)
    assert set(raw["nodes"]["n1"]) == {
        *("name", "hostname", "ip_address", "drbd_address", "certificate", "status"),
        *("maintenance", "claim"),
    }
    assert set(raw["networks"]["lan"]) == {"name", "bridge", "claim", "nat"}
    assert raw["permissions"] == {"superusers": []}
    assert set(raw["vms"]["web1"]["nics"][0]) == {"network", "mac"}
    assert list(raw["vms"]["web1"])[-1] == "append"


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_the_owner_of_a_vm_of_before_becomes_its_home(schema: int) -> None:
    old = of_schema(schema, document().with_vm(vm()).with_vm(vm("web2", node="n2", disks=())))

    new = after(old, "document.schema", schema=4)

    assert old.vm("web2").home == ""
    assert {name: entry.home for name, entry in new.vms.items()} == {"web1": "n1", "web2": "n2"}
    assert decode(encode(new)) == new


def test_superusers_of_before_stay_as_they_are() -> None:
    old = after(of_schema(3, document()), "permission.add", user="alice")

    new = after(
        after(old, "document.schema", schema=4), "permission.grant", who="bob", right="view"
    )
    more = after(new, "permission.add", user="carol")
    less = after(more, "permission.remove", user="alice")

    assert new.permissions.superusers == ("alice",)
    assert more.permissions.superusers == ("alice", "carol")
    assert less.permissions.superusers == ("carol",)
    assert less.permissions.grants == (Grant(who="bob", right="view"),)


OF_SCHEMA_4: list[tuple[str, dict[str, Any]]] = [
    ("vm.set", {"name": "web1", "protected": True}),
    ("vm.nics", {"name": "web1", "nics": []}),
    ("vm.devices", {"name": "web1", "devices": []}),
    ("vm.overlay", {"name": "web1", "overlay": ""}),
    ("network.add", {"name": "dmz", "bridge": "br1", "vlan": 7}),
    ("network.set", {"name": "lan", "mtu": 9000}),
    ("node.drain", {"name": "n2"}),
    ("node.maintenance", {"name": "n2"}),
    ("node.restore", {"name": "n2"}),
    ("permission.grant", {"who": "%ops", "right": "view"}),
    ("permission.revoke", {"who": "%ops", "right": "view"}),
]


@pytest.mark.parametrize(("change", "params"), OF_SCHEMA_4)
def test_a_document_of_before_has_none_of_its_changes(change: str, params: dict[str, Any]) -> None:
    old = of_schema(3, CLAIMED)

    with pytest.raises(Refused, match="cannot hold this yet"):
        after(old, change, "job1.2", **params)


@pytest.mark.parametrize("schema", [2, 3])
def test_in_a_document_of_before_a_vm_gets_no_home(schema: int) -> None:
    base = of_schema(schema, document())

    added = after(base, "vm.add", "job1.1", vm=words_of(vm(disks=())), why="create")
    moved = after(added, "vm.assign", "job1.2", name="web1", node="n2")

    assert (moved.vm("web1").node, moved.vm("web1").home) == ("n2", "")


def test_a_new_vm_is_told_in_words_of_before_where_they_say_all() -> None:
    one, other = vm(), vm(protected=True)

    assert not {"home", "protected", "overlay"} & set(words_of(one))
    assert msgspec.convert(words_of(one), Vm) == one
    assert msgspec.convert(words_of(other), Vm) == other
    assert "draining" not in words_of_node(member("n3"))
    assert words_of_node(member("n3", draining=True))["draining"] is True


# Homes


def test_a_new_vm_has_its_home_where_it_is_created() -> None:
    new = after(document(), "vm.add", vm=words_of(vm(node="n2")), why="create")

    assert new.vm("web1").home == "n2"


MOVES: list[tuple[str, dict[str, Any]]] = [
    ("vm.assign", {"name": "web1", "node": "n2"}),
    ("vm.move", {"name": "web1", "node": "n2", "disks": []}),
]


@pytest.mark.parametrize(("change", "params"), MOVES)
def test_where_an_operator_puts_a_vm_is_its_home_and_a_takeover_leaves_it(
    change: str, params: dict[str, Any]
) -> None:
    by_word = after(CLAIMED, change, "job1.2", **params)
    taken_over = after(CLAIMED, change, "job1.2", **params, home=False)

    assert [one.vm("web1").node for one in (by_word, taken_over)] == ["n2", "n2"]
    assert [one.vm("web1").home for one in (by_word, taken_over)] == ["n2", "n1"]


def test_a_node_that_is_removed_is_no_home_and_has_no_bridge_and_no_device() -> None:
    here = Device(type="usb", address="1d6b:0002", node="n1")
    gone = Device(type="pci", address="0000:03:00.0", node="n3")
    base = WITH_VM.with_vm(vm(home="n3", devices=(gone, here))).with_network(
        Network(name="lan", bridge="br0", on={"n3": "br9", "n2": "br8"})
    )

    left = after(base, "node.remove", name="n3")

    assert left.vm("web1").home == "n1" and left.network("lan").on == {"n2": "br8"}
    assert left.vm("web1").devices == (here,)


# Properties, NICs, networks


def test_what_is_not_named_stays_as_it_was() -> None:
    new = after(CLAIMED, "vm.set", "job1.2", name="web1", tags=["web", "a", "web"], cpus=4)
    newer = after(new, "vm.set", "job1.3", name="web1", watchdog="reset", clock="Europe/Vienna")

    found = newer.vm("web1")
    assert (found.tags, found.cpus, found.watchdog) == (("a", "web"), 4, "reset")
    assert replace(found, tags=(), cpus=1, watchdog="", clock="") == CLAIMED.vm("web1")


def test_limits_are_those_of_each_data_disk() -> None:
    new = after(CLAIMED, "vm.set", "job1.2", name="web1", iops=5, bandwidth=4096, cpus=2)

    disks = new.vm("web1").disks
    assert disks and {(disk.iops, disk.bandwidth) for disk in disks} == {(5, 4096)}
    assert new.vm("web1").cpus == 2


def test_devices_and_an_overlay_are_written_down() -> None:
    usb = {"type": "usb", "address": "1-1.2", "node": "n1"}

    new = after(CLAIMED, "vm.devices", "job1.2", name="web1", devices=[usb])
    newer = after(new, "vm.overlay", "job1.3", name="web1", overlay="<domain/>")

    (device,) = newer.vm("web1").devices
    assert (as_plain(device), newer.vm("web1").overlay) == (usb, "<domain/>")


def test_nics_are_replaced_as_a_whole() -> None:
    new = after(CLAIMED, "vm.nics", "job1.2", name="web1", nics=[nic(link="down", vlan=7)])

    assert new.vm("web1").nics == (Nic(network="lan", mac=MAC, link="down", vlan=7),)
    assert after(new, "vm.nics", "job1.3", name="web1", nics=[]).vm("web1").nics == ()


def test_a_network_has_another_bridge_on_some_nodes() -> None:
    base = after(
        document(), "network.add", name="lan", bridge="br0", vlan=7, mtu=9000, on={"n2": "br1"}
    )
    new = after(base, "network.set", name="lan", on={}, bridge="br2")

    lan = base.network("lan")
    assert [lan.bridge_on(node) for node in ("n1", "n2")] == ["br0", "br1"]
    assert new.network("lan") == Network(name="lan", bridge="br2", vlan=7, mtu=9000)


TAKEN = CLAIMED.with_vm(vm("web2", disks=(), nics=(Nic(network="lan", mac=MAC.upper()),)))
NODE_CLAIMED = after(LAN, "node.claim", "job9.1", name="n2", why="remove node n2")
NAT = LAN.with_network(Network(name="nat", bridge="virbr9", nat=True))

REFUSALS: list[tuple[str, Cluster, dict[str, Any], type[Exception], str]] = [
    ("vm.set", WITH_VM, {"name": "web1", "cpus": 2}, Busy, "not claimed"),
    ("vm.set", CLAIMED, {"name": "web1", "node": "n2"}, Refused, "no property node"),
    ("vm.set", CLAIMED, {"name": "web1", "uuid": "x"}, Refused, "no property uuid"),
    ("vm.set", CLAIMED, {"name": "web1", "watchdog": "cat"}, msgspec.ValidationError, "watchdog"),
    ("vm.set", CLAIMED, {"name": "web1", "iops": -1}, msgspec.ValidationError, "iops"),
    ("vm.set", CLAIMED, {"name": "web1", "cd": "netinst"}, NotFound, "no image netinst"),
    ("vm.set", CLAIMED, {"name": "web1", "tags": ["a b"]}, msgspec.ValidationError, "tags"),
    ("vm.set", CLAIMED, {"name": "web1", "description": "a\nb"}, msgspec.ValidationError, "descr"),
    (
        "vm.overlay",
        CLAIMED,
        {"name": "web1", "overlay": "x" * 65537},
        msgspec.ValidationError,
        "overlay",
    ),
    ("vm.nics", WITH_VM, {"name": "web1", "nics": []}, Busy, "not claimed"),
    ("vm.nics", CLAIMED, {"name": "web1", "nics": [nic(network="x")]}, NotFound, "no network x"),
    ("vm.nics", CLAIMED, {"name": "web1", "nics": [nic(), nic()]}, Busy, "web1's already"),
    ("vm.nics", TAKEN, {"name": "web1", "nics": [nic()]}, Busy, "web2's already"),
    (
        "vm.nics",
        CLAIMED,
        {"name": "web1", "nics": [nic(vlan=4095)]},
        msgspec.ValidationError,
        "vlan",
    ),
    (
        "vm.add",
        TAKEN,
        {"vm": words_of(vm("web3", disks=(), nics=(Nic(network="lan", mac=MAC),))), "why": "x"},
        Busy,
        "web2's already",
    ),
    (
        "vm.devices",
        CLAIMED,
        {"name": "web1", "devices": [{"type": "pci", "address": "0000:00:1f.2", "node": "n9"}]},
        NotFound,
        "no node n9",
    ),
    ("network.add", LAN, {"name": "b", "bridge": "b", "on": {"n9": "x"}}, NotFound, "no node n9"),
    ("network.set", LAN, {"name": "x", "mtu": 9000}, NotFound, "no network x"),
    ("network.set", LAN, {"name": "lan", "nat": True}, Refused, "no property nat"),
    ("network.set", NAT, {"name": "nat", "bridge": "br0"}, Refused, "libvirt's own"),
    ("node.drain", NODE_CLAIMED, {"name": "n2"}, Busy, "remove node n2"),
    ("node.maintenance", NODE_CLAIMED, {"name": "n2"}, Busy, "remove node n2"),
    ("node.restore", NODE_CLAIMED, {"name": "n2"}, Busy, "remove node n2"),
    ("permission.revoke", LAN, {"who": "bob", "right": "view"}, NotFound, "bob has view for all"),
    ("permission.grant", LAN, {"who": "b", "right": "root"}, msgspec.ValidationError, "right"),
    ("permission.grant", LAN, {"who": "a\nb", "right": "view"}, msgspec.ValidationError, "who"),
]


@pytest.mark.parametrize(("change", "base", "params", "error", "said"), REFUSALS)
def test_what_would_make_no_sense_is_refused(
    change: str, base: Cluster, params: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        after(base, change, "job1.2", **params)


def test_a_value_that_no_vm_has_is_refused_of_another_member_too() -> None:
    good = after(CLAIMED, "vm.set", "job1.2", name="web1", watchdog="reset")
    record = replace(good.change, params={"name": "web1", "watchdog": "cat"})

    with pytest.raises(McvError, match="is no change"):
        recomputed(CLAIMED, replace(good, change=record))


# Nodes and grants


def test_a_node_drains_is_in_maintenance_and_is_restored() -> None:
    drains = after(LAN, "node.drain", name="n2")
    rests = after(drains, "node.maintenance", name="n2")
    back = after(rests, "node.restore", name="n2")

    states = [
        (one.node("n2").status, one.node("n2").draining, one.node("n2").maintenance)
        for one in (drains, rests, back)
    ]
    assert states == [("online", True, False), ("offline", True, True), ("online", False, False)]
    assert back.nodes == LAN.nodes


def test_a_node_that_owns_vms_or_is_at_work_or_the_last_is_not_in_maintenance() -> None:
    drains = after(LAN, "node.drain", name="n2")
    owner = drains.with_vm(vm(node="n2"))
    with pytest.raises(Refused, match="n2 still owns web1"):
        after(owner, "node.maintenance", name="n2")

    claim = Claim(operation="job1", node="n2", why="start it", since="", epoch=1, generation=1)
    at_work = drains.with_vm(vm(node="n1", claim=claim))
    with pytest.raises(Refused, match="n2 is at work: start it"):
        after(at_work, "node.maintenance", name="n2")

    alone = after(drains, "node.offline", name="n1")
    for other in [name for name in alone.online if name != "n2"]:
        alone = after(alone, "node.offline", name=other)
    with pytest.raises(Refused, match="n2 is the last node online"):
        after(alone, "node.maintenance", name="n2")


def test_a_right_is_given_once_and_taken_away_in_the_same_words() -> None:
    one = after(LAN, "permission.grant", who="%ops", right="power", vm="web*")
    two = after(one, "permission.grant", who="%ops", right="power")

    assert two.permissions.grants == (
        Grant(who="%ops", right="power"),
        Grant(who="%ops", right="power", vm="web*"),
    )
    with pytest.raises(Refused, match="already"):
        after(two, "permission.grant", who="%ops", right="power")
    less = after(two, "permission.revoke", who="%ops", right="power", vm="web*")
    assert less.permissions.grants == (Grant(who="%ops", right="power"),)
