"""Changes of pools: what they refuse, and what goes with a member that leaves."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.disks import FileDisk, SharedDisk
from mcv.document.model import Cluster, decode, encode
from mcv.document.pools import Pool
from mcv.errors import Busy, NotFound, Refused
from mcv.system.answers import plain
from tests.documents import after, document, of_schema, vm

FAST = Pool(type="dir", nodes={"n1": "/srv/fast"})
NFS = Pool(type="shared", nodes={"n1": "/mnt/nfs", "n2": "/mnt/nfs"}, id="5c8a")
BASE = replace(document(), pools={"fast": FAST, "nfs": NFS})
CLAIMED = after(BASE, "pool.claim", "job1.1", name="fast", why="pool delete fast")


def on_fast(location: str = "/srv/fast") -> dict[str, Any]:
    disk = FileDisk(id=1, size=4096, pool="fast", volume="a", places={"n1": location})
    new: dict[str, Any] = plain(vm(disks=(disk,), nodes=("n1",)))
    return new


def with_shared_vm(base: Cluster) -> Cluster:
    disk = SharedDisk(id=1, size=4096, pool="nfs", volume="a")
    return base.with_vm(vm(disks=(disk,), nodes=("n1", "n2")))


def test_a_pool_comes_with_its_claim_or_without_one() -> None:
    for why, holder in (("pool create b", "job7"), ("", None)):
        new = after(BASE, "pool.add", "job7.1", name="b", pool=plain(FAST), why=why)

        claim = new.pools["b"].claim
        assert (claim.operation if claim else None) == holder
        assert decode(encode(new)) == new


def test_no_pool_brings_a_claim_of_its_own() -> None:
    claimed = plain(CLAIMED.pools["fast"])

    assert after(BASE, "pool.add", name="b", pool=claimed).pools["b"].claim is None


@pytest.mark.parametrize(
    ("change", "params"),
    [
        ("pool.extend", {"node": "n2", "location": "/srv/fast"}),
        ("pool.reduce", {"node": "n1"}),
        ("pool.remove", {}),
        ("pool.claim", {"why": "another"}),
    ],
)
def test_a_claimed_pool_is_changed_by_its_operation_alone(
    change: str, params: dict[str, Any]
) -> None:
    with pytest.raises(Busy, match="fast is busy: pool delete fast"):
        after(CLAIMED, change, "job2.1", name="fast", **params)


def test_a_pool_that_is_gone_is_removed_without_effect() -> None:
    assert after(BASE, "pool.remove", name="nowhere") is BASE


@pytest.mark.parametrize(
    ("base", "disk", "error", "words"),
    [
        (CLAIMED, on_fast(), Busy, "Pool fast is busy"),
        (after(BASE, "pool.remove", name="fast"), on_fast(), NotFound, "There is no pool fast"),
        (BASE, on_fast("/srv/old"), Refused, "Pool fast is not at /srv/old on n1 any more"),
    ],
)
def test_a_vm_is_added_where_its_pools_take_disks(
    base: Cluster, disk: dict[str, Any], error: type[Refused], words: str
) -> None:
    with pytest.raises(error, match=words):
        after(base, "vm.add", vm=disk, why="create web1")

    assert after(BASE, "vm.add", vm=on_fast(), why="create web1").vms["web1"].nodes == ("n1",)


def test_a_vm_on_shared_disks_may_run_where_its_pool_is() -> None:
    base = with_shared_vm(replace(BASE, nodes=document("n1", "n2", "n3").nodes))

    more = after(base, "pool.extend", name="nfs", node="n3", location="/mnt/nfs")
    less = after(more, "pool.reduce", name="nfs", node="n2")

    assert more.vm("web1").nodes == ("n1", "n2", "n3")
    assert less.vm("web1").nodes == ("n1", "n3")
    with pytest.raises(Refused, match="Pool nfs holds disks of web1"):
        after(base, "pool.reduce", name="nfs", node="n1")
    with pytest.raises(Refused, match="Pool nfs holds disks of web1"):
        after(base, "pool.remove", name="nfs")


def test_locks_are_known_of_two_nodes_at_least() -> None:
    def extended(base: Cluster, node: str, *locks: str) -> Cluster:
        there = {"node": node, "location": "/mnt/nfs", "locks": list(locks)}
        return after(base, "pool.extend", name="nfs", **there)

    base = replace(BASE, nodes=document("n1", "n2", "n3").nodes)
    alone = after(base, "pool.reduce", name="nfs", node="n2")

    two = extended(alone, "n2", "n1", "n2")
    assert two.pools["nfs"].locks == ("n1", "n2")
    assert extended(two, "n3", "n1", "n3").pools["nfs"].locks == ("n1", "n2", "n3")
    assert extended(two, "n3").pools["nfs"].locks == ("n1", "n2")
    assert extended(alone, "n2", "n2", "n9").pools["nfs"].locks == ()
    assert after(two, "pool.reduce", name="nfs", node="n1").pools["nfs"].locks == ()


def test_a_member_that_leaves_goes_out_of_its_pools() -> None:
    there = replace(FAST, nodes={"n2": "/srv/fast"})
    base = with_shared_vm(replace(BASE, pools={"fast": there, "nfs": NFS}))

    left = after(base, "node.remove", name="n2")

    assert list(left.pools) == ["nfs"] and left.pools["nfs"].nodes == {"n1": "/mnt/nfs"}
    assert left.vm("web1").nodes == ("n1",)


def test_of_a_document_of_before_a_member_leaves_as_before() -> None:
    before = of_schema(2, document())

    left = after(before, "node.remove", name="n2")

    assert left.pools == {} and list(left.nodes) == ["n1"]
