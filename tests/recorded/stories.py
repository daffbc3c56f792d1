"""The stories whose middles are recorded: those of tests/deaths, and plans that they lack."""

from mcv.cluster import members
from mcv.drbd import resync
from mcv.network import verbs as network
from mcv.vm import change, create, delete, live, migrate
from tests.deaths import ends, stories
from tests.deaths.ends import RESOURCE, other
from tests.deaths.stories import Story, itself, make, run
from tests.fakes.cluster import FakeCluster


def make_large(cluster: FakeCluster, node: str) -> None:
    """web1 with two disks and a network, the first disk filled from an image."""
    cluster.run(node, network.create, name="lan", bridge="br-lan")


def create_large(cluster: FakeCluster, node: str) -> None:
    cluster.run(
        node,
        create.create,
        name="web1",
        memory="96MiB",
        cpus=2,
        disks=["64MiB", "12MiB"],
        image={"node": node, "token": "image-of-the-operator", "size": 1 << 20},
        networks=["lan"],
    )


def exists_large(cluster: FakeCluster, node: str) -> str:
    return ends.exists(cluster, node)


def create_diskless(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, create.create, name="web1", memory="64MiB")


def exists_diskless(cluster: FakeCluster, node: str) -> str:
    parts = ends.parts(cluster)
    if not any(parts.values()):
        return "nothing"
    entry, domain = set(cluster.hosts), {cluster.read(node).vm("web1").node}
    whole = {"entry": entry, "domain": domain, "file": set(), "volume": set(), "replica": set()}
    return "whole" if parts == whole else str(parts)


def deleted_but_for_disks(cluster: FakeCluster, node: str) -> str:
    """web1 is whole, or gone but for its volumes, which are mcv's no more."""
    parts = ends.parts(cluster)
    if any(parts[what] for what in ("entry", "file", "domain", "replica")):
        return "nothing" if ends.whole_vm(cluster, node) else str(parts)
    untagged = {name for name, lvm in cluster.lvm.items() if lvm.foreign == set(lvm.made) != set()}
    return "whole" if parts["volume"] == untagged == set(cluster.hosts) else str(parts)


def make_apart(cluster: FakeCluster, node: str) -> None:
    """web1, whose replicas do not look for each other any more; neither was written since."""
    make(cluster, node)
    for drbd in cluster.drbd.values():
        drbd.disconnect(RESOURCE)


def make_detached(cluster: FakeCluster, node: str) -> None:
    """web1, whose other replica has lost its disk."""
    make(cluster, node)
    cluster.drbd[other(node)].detach(RESOURCE)


def send_in_order(cluster: FakeCluster, node: str) -> None:
    """The other node goes into maintenance."""
    cluster.run(other(node), members.offline, names=[other(node)])


def removed(cluster: FakeCluster, node: str) -> str:
    """The other node is no member; nobody has told it so."""
    return "nothing" if other(node) in cluster.read(node).nodes else "whole"


MORE = {
    "create large": Story(create_large, exists_large, make_large),
    "create diskless": Story(create_diskless, exists_diskless),
    "delete but for disks": Story(
        lambda c, node: c.run(node, delete.delete, name="web1", keep_disks=True),
        deleted_but_for_disks,
        make,
    ),
    "migrate and start": Story(
        lambda c, node: c.run(
            node, migrate.migrate, name="web1", to=other(node), start_after_migration=True
        ),
        ends.moved_from(itself),
        make,
    ),
    "migrate live, slowly": Story(
        lambda c, node: c.run(
            node, live.migrate, name="web1", to=other(node), bandwidth="1MiB", ignore_verify=True
        ),
        ends.moved_live,
        run,
    ),
    "update memory": Story(
        lambda c, node: c.run(node, change.update, name="web1", memory="96MiB", cpus=3),
        ends.grown,
        make,
    ),
    "resync what is apart": Story(
        lambda c, node: c.run(node, resync.resync, name="web1"), ends.same, make_apart
    ),
    "resync what is detached": Story(
        lambda c, node: c.run(node, resync.resync, name="web1"), ends.same, make_detached
    ),
    "resync from the other": Story(
        lambda c, node: c.run(node, resync.resync, name="web1", source=other(node)),
        ends.same,
        make,
    ),
    "remove-node by force": Story(
        lambda c, node: c.run(node, members.remove_node, node=other(node), force=True),
        removed,
        send_in_order,
    ),
}

PLANS = stories.PLANS | MORE
STORIES = stories.STORIES | MORE
