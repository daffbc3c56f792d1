"""Documents for tests: small, valid, and one after the other."""

from typing import Any

from msgspec.structs import replace

from mcv.document import changes
from mcv.document.disks import DrbdDisk
from mcv.document.generation import ChangeMade, Epoch, EpochNow
from mcv.document.model import Cluster, Node, Vm, decode, encode
from tests.fakes.keys import FakeKeys


def member(name: str, **values: Any) -> Node:
    address = f"10.0.0.{name[1:]}"
    return Node(
        name=name,
        hostname=name,
        ip_address=address,
        drbd_address=address,
        certificate=f"certificate of {name}",
        **values,
    )


def made(id: str = "job1.1", node: str = "n1", who: str = "alice") -> ChangeMade:
    return ChangeMade(id=id, who=who, when="2026-01-01T00:00:00Z", why="a test", node=node)


def document(*names: str) -> Cluster:
    return Cluster(
        name="n1",
        epoch=EpochNow(number=1, id="e1"),
        epochs=(Epoch(number=1, id="e1", generation=0, hash=""),),
        generation=1,
        parent="",
        change=made("begin"),
        nodes={name: member(name) for name in names or ("n1", "n2")},
    )


def disk(name: str = "web1", number: int = 1, **values: Any) -> DrbdDisk:
    return DrbdDisk(
        **{
            "id": number,
            "size": 64 * 1024**2,
            "volume": f"mcv-{name}-{number}",
            "places": {"n1": "vg0", "n2": "vg0"},
            "resource": f"mcv-{name}-{number}",
            "minor": 99 + number,
            "port": 7899 + number,
            **values,
        }
    )


def vm(name: str = "web1", **values: Any) -> Vm:
    return Vm(
        **{
            "name": name,
            "uuid": "00000000-0000-0000-0000-000000000001",
            "memory": 64 * 1024**2,
            "cpus": 1,
            "node": "n1",
            "nodes": ("n1", "n2"),
            "disks": (disk(name),),
            **values,
        }
    )


_count = iter(range(10**9))


def after(base: Cluster, change: str = "barrier", id: str = "", /, **params: Any) -> Cluster:
    """The next generation, by a change of the document."""
    return by("n1", base, change, params, id)


def by(node: str, base: Cluster, change: str, params: dict[str, Any], id: str = "") -> Cluster:
    """The next generation, by a change that a member signs, whether it may make it or not."""
    keys = FakeKeys(f"certificate of {node}")
    return changes.apply(base, change, params, made(id or f"t{next(_count)}.1", node), keys.sign)


def chain(base: Cluster, length: int) -> list[Cluster]:
    found = [base]
    for _ in range(length):
        found.append(after(found[-1]))
    return found


def of_schema(number: int, cluster: Cluster) -> Cluster:
    """The document as an earlier version would hold it: without what came later."""
    return decode(encode(replace(cluster, schema=number)))


def in_epoch(base: Cluster, id: str) -> Cluster:
    """The next generation, which begins an epoch: n2 is called dead."""
    return after(base, "node.dead", names=["n2"], survivor="n1", epoch=id)
