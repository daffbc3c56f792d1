"""Every operation of several steps, and every kind of change: how it begins, runs and may end."""

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from mcv.cluster import (
    addresses,
    arming,
    draining,
    etcd_follow,
    etcd_lost,
    etcd_members,
    etcd_store,
    join,
    joining,
    members,
    permissions,
    replacing,
)
from mcv.document.model import Node
from mcv.document.pools import DEFAULT_LOCATION, ImageKind
from mcv.document.subject import Subject
from mcv.drbd import resolve, resync, verify
from mcv.drivers import addresses as own_addresses
from mcv.errors import McvError
from mcv.etcd.requests import delete as delete_key
from mcv.host import Host, Prepared
from mcv.network import verbs as network
from mcv.rules.rights import Person
from mcv.storage import images, pools
from mcv.vm import (
    change,
    create,
    delete,
    devices,
    disk_add,
    disk_closing,
    disk_grow,
    disk_move,
    disk_remove,
    disk_set,
    edit,
    live,
    migrate,
    nics,
    power,
    register,
    rename,
    seed,
)
from tests.deaths import ends, ends_of_disks, ends_of_hosts, ends_of_nodes
from tests.deaths import stories_of_services as services
from tests.deaths.ends import RESOURCE, End, other
from tests.fakes import armed
from tests.fakes.cluster import FakeCluster

Act = Callable[[FakeCluster, str], None]

TWO, THREE, FOUR = ("n1", "n2"), ("n1", "n2", "n3"), ("n1", "n2", "n3", "n4")
FIVE = (*FOUR, "n5")


def itself(node: str) -> str:
    return node


def third(node: str) -> str:
    del node
    return "n3"


@dataclass
class Story:
    """What is there before, what is done on a node, and how the end is to be called.

    Whoever is in the cluster's `down` before is dead while it is told, and back afterwards:
    `end` looks at what came of it before they are, `healed` when they are.
    """

    act: Act
    end: End
    before: Act = lambda cluster, node: None
    names: tuple[str, ...] = TWO
    victims: tuple[str, ...] = ("the coordinator", "its peer")
    healed: End = lambda cluster, node: "either"

    def victim(self, node: str, role: str) -> str:
        others = {"its peer": other(node), "a third": "n3", "a fourth": "n4"}
        return {"the coordinator": node, **others}[role]


# What is there before


def make(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, create.create, name="web1", memory="64MiB", disks=["64MiB"])


def make_local(storage: str) -> Act:
    """web1 has a disk with data on this node alone."""

    def act(cluster: FakeCluster, node: str) -> None:
        options = {"memory": "64MiB", "disks": ["64MiB"], "storage": storage}
        cluster.run(node, create.create, name="web1", **options)
        ends.pieces(cluster, node, node).update(ends.DATA)

    return act


def write_on(cluster: FakeCluster, node: str, number: int) -> None:
    """From now on a guest that begins to run on the other node writes there at once."""
    there = other(node)
    disk = cluster.read(node).vm("web1").disk(number)
    where = DEFAULT_LOCATION if disk.storage == "file" else "/dev/vg0"
    counted = cluster.domains[there].ran

    def ran(domain: str) -> None:
        counted(domain)
        cluster.blocks[there].pieces(f"{where}/{disk.volume}").update(ends.SINCE)
        cluster.wrote.add(there)

    cluster.domains[there].ran = ran


def run_local(storage: str) -> Act:
    def act(cluster: FakeCluster, node: str) -> None:
        make_local(storage)(cluster, node)
        cluster.run(node, power.start, name="web1")
        write_on(cluster, node, 1)

    return act


def run_to_mirror(storage: str) -> Act:
    """web1 runs with such a disk."""

    def act(cluster: FakeCluster, node: str) -> None:
        make_local(storage)(cluster, node)
        cluster.run(node, power.start, name="web1")

    return act


def run_mixed(cluster: FakeCluster, node: str) -> None:
    run(cluster, node)
    cluster.run(node, disk_add.add, name="web1", size="32MiB", storage="lvm")
    volume = cluster.read(node).vm("web1").disk(2).volume
    cluster.blocks[node].pieces(f"/dev/vg0/{volume}").update(ends.DATA)
    write_on(cluster, node, 2)


def move_live(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, live.migrate, name="web1", to=other(node))


def move_disk(kind: str) -> Act:
    return lambda cluster, node: cluster.run(
        node, disk_move.move, name="web1", disk=1, storage=kind
    )


def run(cluster: FakeCluster, node: str) -> None:
    make(cluster, node)
    cluster.run(node, power.start, name="web1")


def run_on_other(cluster: FakeCluster, node: str) -> None:
    """web1 runs on the other node."""
    run(cluster, other(node))


def drain(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, draining.drain, node=other(node))


def drain_other(cluster: FakeCluster, node: str) -> None:
    """web1 left the other node, its home, when that was drained; it runs on."""
    run_on_other(cluster, node)
    drain(cluster, node)
    cluster.look(other(node))


def make_and_start(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, create.create, name="web1", memory="64MiB", disks=["64MiB"], start=True)


def run_beside_a_network(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, network.create, name="lan", bridge="br-lan")
    make_and_start(cluster, node)


def run_with_a_card(cluster: FakeCluster, node: str) -> None:
    run_beside_a_network(cluster, node)
    cluster.run(node, nics.add, name="web1", network="lan")


def run_with_two_disks(cluster: FakeCluster, node: str) -> None:
    run(cluster, node)
    add_disk(cluster, node)


def run_with_a_file(cluster: FakeCluster, node: str) -> None:
    run(cluster, node)
    cluster.run(node, disk_add.add, name="web1", size="32MiB", storage="file")


def make_with_seed(cluster: FakeCluster, node: str) -> None:
    host = cluster.hosts[node]
    held = seed.held(host, msgspec.json.encode(seed.Parts(hostname="www")))
    asked = {"node": held.node, "token": held.token, "size": held.size}
    cluster.run(node, create.create, name="web1", memory="64MiB", disks=["64MiB"], seed=asked)


def save(cluster: FakeCluster, node: str) -> None:
    run(cluster, node)
    cluster.domains[node].saved.save("web1")
    disk_closing.reconcile(cluster.hosts[node])


def blank(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, members.remove_node, node=other(node))


def split(cluster: FakeCluster, node: str) -> None:
    """web1 belongs to this node, and both sides of its disk were Primary while they were apart."""
    make(cluster, node)
    both = list(cluster.drbd.values())
    for door in both:
        door.disconnect(RESOURCE)
    for door in both:
        door.promote(RESOURCE)
        door.demote(RESOURCE)
    for door in both:
        door.connect(RESOURCE)


def lose_owner(cluster: FakeCluster, node: str) -> None:
    """web1 belongs to n3, with its other replica here; n3 is dead, and declared so."""
    nodes = ["n3", node]
    cluster.run("n3", create.create, name="web1", memory="64MiB", disks=["64MiB"], nodes=nodes)
    sight = cluster.hosts[node].observations
    sight.see_in_step(RESOURCE)
    sight.hear("n3")
    sight.save(at_once=True)
    cluster.down.add("n3")
    cluster.run(node, members.offline, names=["n3"], confirm_dead=True)


def lose_owner_and_step(cluster: FakeCluster, node: str) -> None:
    lose_owner(cluster, node)
    cluster.drbd[node].outdate(RESOURCE)


def lose_armed_owner(is_declared: bool) -> Act:
    """As `lose_owner` in a cluster that is armed; n3 had given its lease back."""

    def act(cluster: FakeCluster, node: str) -> None:
        nodes = ["n3", node]
        cluster.run("n3", create.create, name="web1", memory="64MiB", disks=["64MiB"], nodes=nodes)
        armed.arm(cluster)
        cluster.etcd.change([], [delete_key(armed.keys(cluster).lease("n3"))])
        cluster.hosts["n3"].lease.arm(armed.orders(cluster, "n3"))
        cluster.down.add("n3")
        if is_declared:
            cluster.run(node, members.offline, names=["n3"], confirm_dead=True)

    return act


def run_on(*nodes: Callable[[str], str]) -> Act:
    """web1 runs on this node, with its other replica on another."""

    def act(cluster: FakeCluster, node: str) -> None:
        there = [who(node) for who in nodes]
        options = {"memory": "64MiB", "disks": ["64MiB"], "storage": "drbd", "nodes": there}
        cluster.run(node, create.create, name="web1", start=True, **options)

    return act


def lose_peer(cluster: FakeCluster, node: str) -> None:
    """web1 runs on this node; n3, which has its other replica, is dead, and declared so."""
    run_on(itself, third)(cluster, node)
    cluster.down.add("n3")
    cluster.run(node, members.offline, names=["n3"], confirm_dead=True)


def fail(cluster: FakeCluster, node: str) -> None:
    """web1's verification failed, and what it found is mended since."""
    make(cluster, node)
    cluster.world.differs["mcv-web1-1"] = 4096
    cluster.run(node, verify.verify, name="web1")
    cluster.world.out_of_sync.clear()


def fail_and_differ(cluster: FakeCluster, node: str) -> None:
    fail(cluster, node)
    cluster.world.differs["mcv-web1-1"] = 4096


# What is done


def add(cluster: FakeCluster, node: str) -> None:
    add_(cluster, node, other(node))


def add_fourth(cluster: FakeCluster, node: str) -> None:
    add_(cluster, node, "n4")


def remove_fourth(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, members.remove_node, node="n4")


def add_(cluster: FakeCluster, node: str, new: str) -> None:
    def joined(host: Host) -> None:
        stage = {"operation": host.job.id, "members": []}
        joining.stage_join(cluster.hosts[new], document=json.dumps(stage))
        entry = Node(
            name=new,
            hostname=new,
            ip_address="10.0.0.9",
            drbd_address="10.0.0.9",
            certificate=cluster.hosts[new].certificate,
            etcd_certificate=f"etcd certificate of {new}\n" if host.read().store else "",
        )
        of_etcd = etcd_members.joining(host.read(), new, host.name, host.job.id)
        plan = join.add_plan(entry, host.name, f"add node {new}", of_etcd)
        host.operate(Subject.node(new), f"add node {new}", lambda: Prepared(plan, {}))

    cluster.run(node, joined)


def mount(cluster: FakeCluster, node: str) -> None:
    """Both nodes see one directory under /mnt/nfs."""
    seen = cluster.directories[node].at("/mnt/nfs")
    for door in cluster.directories.values():
        door.make("/mnt/nfs")
        door.about["/mnt/nfs"] = seen


def share(cluster: FakeCluster, node: str) -> None:
    mount(cluster, node)
    make_pool(cluster, node)


def make_pool(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, pools.create, name="nfs", type="shared", location="/mnt/nfs")


def offline(who: Callable[[str], str], confirm_dead: bool = False) -> Act:
    return lambda cluster, node: cluster.run(
        node if confirm_dead else who(node),
        members.offline,
        names=[who(node)],
        confirm_dead=confirm_dead,
    )


def take_over(accept_stale: bool) -> Act:
    return lambda cluster, node: cluster.run(
        node, register.register, name="web1", accept_stale=accept_stale
    )


def resolve_for(keep: Callable[[str], str]) -> Act:
    return lambda cluster, node: cluster.run(node, resolve.resolve, name="web1", keep=keep(node))


def run_beside_a_cd(cluster: FakeCluster, node: str) -> None:
    run(cluster, node)
    add_image(kind="iso")(cluster, node)


def add_image(*on: Callable[[str], str], kind: ImageKind = "disk") -> Act:
    def act(cluster: FakeCluster, node: str) -> None:
        path = cluster.directory / "disk.raw"
        path.write_bytes(bytes(range(256)) * 64)
        fd = os.open(path, os.O_RDONLY)
        nodes = [who(node) for who in on]
        file = {"pid": os.getpid(), "fd": fd}
        try:
            cluster.run(node, images.add, name="debian", on=nodes, kind=kind, **file)
        finally:
            os.close(fd)

    return act


def add_disk(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, disk_add.add, name="web1", size="32MiB")


def grow_disk(number: int) -> Act:
    return lambda cluster, node: cluster.run(
        node, disk_grow.grow, name="web1", disk=number, size="128MiB"
    )


def move_replica(source: Callable[[str], str], to: Callable[[str], str]) -> Act:
    return lambda cluster, node: cluster.run(
        node, disk_move.move, name="web1", disk=1, source=source(node), to=to(node)
    )


def remove_disk(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, disk_remove.remove, name="web1", disk=2)


def set_disk(cluster: FakeCluster, node: str) -> None:
    values = {"iops": "500", "bandwidth": "1MiB"}
    cluster.run(node, disk_set.set_, name="web1", disk=1, values=values)


def move_to_etcd(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, etcd_store.to_etcd)


def lose_majority(cluster: FakeCluster, node: str) -> None:
    """Three of five voters burn, right after a change that all of them have."""
    move_to_etcd(cluster, node)
    cluster.run(node, permissions.add, user="bob")
    cluster.down.update(set(FIVE) - set(TWO))


def leave_etcd(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, etcd_lost.to_unanimous, names=sorted(set(FIVE) - set(TWO)))


def move_and_remove_fourth(cluster: FakeCluster, node: str) -> None:
    move_to_etcd(cluster, node)
    for name in FOUR:
        cluster.look(name)
    remove_fourth(cluster, node)
    for name in THREE:
        cluster.look(name)


def move_and_lose_data(cluster: FakeCluster, node: str) -> None:
    """The document lies in etcd, and this node's voter has lost its data."""
    move_to_etcd(cluster, node)
    for name in THREE:
        cluster.look(name)
    cluster.etcd_of[node].unit.discard()


def look_after_etcd(cluster: FakeCluster, node: str) -> None:
    """As the loop does: nobody is told what it failed of, and it tries again."""
    with contextlib.suppress(McvError):
        etcd_follow.look_after(cluster.hosts[node])


def move_out_of_etcd(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, etcd_store.to_unanimous)


def move_with_a_vm(cluster: FakeCluster, node: str) -> None:
    """web1 has its replicas on the first two nodes, and the document lies in etcd."""
    disk = {"memory": "64MiB", "disks": ["64MiB"], "nodes": list(TWO)}
    cluster.run(node, create.create, name="web1", **disk)
    move_to_etcd(cluster, node)


def arm(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, arming.arm)


def move_and_arm(cluster: FakeCluster, node: str) -> None:
    move_with_a_vm(cluster, node)
    for name in THREE:
        cluster.look(name)
    arm(cluster, node)


def disarm(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, arming.disarm)


def set_addresses(cluster: FakeCluster, node: str) -> None:
    """The DRBD address stays: no loop that adjusts DRBD turns beside a story."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_addresses, "own", lambda: [ends.NEW_ADDRESS])
        cluster.run(node, addresses.set_, name=node, ip_address=ends.NEW_ADDRESS)


def give_device(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, devices.add, name="web1", type="usb", address="1d6b:0002")


def take_device(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, devices.remove, name="web1", type="usb", address="1d6b:0002")


def run_with_a_device(cluster: FakeCluster, node: str) -> None:
    run(cluster, node)
    give_device(cluster, node)


def lay_over(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, edit.edit, name="web1", overlay=ends_of_hosts.WATCHDOG)


def run_with_a_former_overlay(cluster: FakeCluster, node: str) -> None:
    """web1 runs with an overlay that was another one when it began."""
    make(cluster, node)
    lay_over(cluster, node)
    cluster.run(node, power.start, name="web1")
    cluster.run(
        node, edit.edit, name="web1", overlay=ends_of_hosts.WATCHDOG.replace("reset", "none")
    )


def permit(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, permissions.add, user="bob")


def forbid(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, permissions.remove, user="bob", person=Person(name="alice"))


def taken(cluster: FakeCluster, node: str) -> str:
    """Before the old owner is back, its definition of web1 is there still."""
    owner = cluster.read(node).vm("web1").node
    if (owner == node) != ("web1" in cluster.domains[node].defined):
        return f"{owner} owns it, defined on {ends.parts(cluster)['domain']}"
    usable = cluster.drbd[node].statuses()[RESOURCE].disk in ("UpToDate", "Consistent")
    return "nothing" if owner == "n3" else "whole" if usable else "stale"


def two_again(cluster: FakeCluster, node: str) -> str:
    online = cluster.read(node).online
    return "either" if online == sorted(cluster.hosts) else f"{online} are online"


def taken_and_back(cluster: FakeCluster, node: str) -> str:
    said = ends.moved_from(third)(cluster, node)
    return two_again(cluster, node) if said in ("whole", "nothing") else said


PLANS = {
    "create": Story(make, ends.exists),
    "create with a seed": Story(make_with_seed, ends.exists),
    "create and start": Story(make_and_start, ends.exists),
    "delete": Story(
        lambda c, node: c.run(node, delete.delete, name="web1"), ends.reverse(ends.exists), make
    ),
    "migrate": Story(
        lambda c, node: c.run(node, migrate.migrate, name="web1", to=other(node)),
        ends.moved_from(itself),
        make,
    ),
    "migrate live": Story(move_live, ends.moved_live, run),
    **{
        f"migrate live with {storage}": Story(
            move_live, ends.copied_live(itself), run_local(storage)
        )
        for storage in ("file", "lvm")
    },
    "migrate live with a former overlay": Story(
        move_live, ends.moved_live, run_with_a_former_overlay
    ),
    "migrate live with both": Story(move_live, ends.moved_mixed, run_mixed),
    **{
        f"migrate a copy on {storage}": Story(
            lambda c, node: c.run(node, migrate.migrate, name="web1", to=other(node)),
            ends.copied_from(itself),
            make_local(storage),
        )
        for storage in ("file", "lvm")
    },
    **{
        f"move a disk from {old} to {new}": Story(
            move_disk(new),
            ends.disk_moved(old, new),
            make_local(old),
        )
        for old, new in (("file", "lvm"), ("file", "drbd"), ("drbd", "file"))
    },
    **{
        f"move a disk from {old} to {new} while its guest writes": Story(
            move_disk(new),
            ends.disk_moved(old, new),
            run_to_mirror(old),
        )
        for old, new in (("file", "lvm"), ("lvm", "drbd"), ("drbd", "file"))
    },
    "move a replica": Story(
        move_replica(other, third),
        ends_of_disks.replica_moved(other, third),
        run_on(itself, other),
        THREE,
        victims=("the coordinator", "its peer", "a third"),
    ),
    "move a replica of a dead node": Story(
        move_replica(third, other),
        ends_of_disks.replica_moved(third, other),
        lose_peer,
        THREE,
        healed=ends_of_disks.replica_settled(third, other),
    ),
    "replace a node": Story(
        lambda c, node: c.run(node, replacing.replace, node="n3", by=other(node)),
        ends_of_disks.replica_moved(third, other),
        lose_peer,
        THREE,
        healed=ends_of_disks.replica_settled(third, other),
    ),
    "drain": Story(drain, ends_of_nodes.drained, run_on_other),
    "evacuate": Story(
        lambda c, node: c.run(node, draining.evacuate, node=other(node)),
        ends_of_nodes.evacuated,
        run_on_other,
    ),
    "restore": Story(
        lambda c, node: c.run(node, draining.restore, node=other(node)),
        ends_of_nodes.restored,
        drain_other,
    ),
    "set addresses": Story(set_addresses, ends.has_addresses, make),
    "move to etcd": Story(
        move_to_etcd, ends_of_nodes.in_etcd, names=THREE, victims=("the coordinator", "a third")
    ),
    "move out of etcd": Story(
        move_out_of_etcd,
        ends_of_nodes.out_of_etcd,
        move_to_etcd,
        names=THREE,
        victims=("the coordinator", "a third"),
    ),
    "arm": Story(
        arm,
        ends_of_nodes.armed,
        move_with_a_vm,
        names=THREE,
        victims=("the coordinator", "a third"),
    ),
    "add a voter": Story(
        add_fourth,
        ends_of_nodes.votes("n4"),
        move_and_remove_fourth,
        names=FOUR,
        victims=("the coordinator", "a third", "a fourth"),
    ),
    "remove a voter": Story(
        remove_fourth,
        ends.reverse(ends_of_nodes.votes("n4")),
        move_to_etcd,
        names=FOUR,
        victims=("the coordinator", "a third", "a fourth"),
    ),
    "set a voter's addresses": Story(
        set_addresses,
        ends_of_nodes.votes_at_its_address,
        move_to_etcd,
        names=THREE,
        victims=("the coordinator", "a third"),
    ),
    "join etcd anew": Story(
        look_after_etcd,
        ends_of_nodes.all_vote,
        move_and_lose_data,
        names=THREE,
        victims=("the coordinator", "a third"),
    ),
    "rename": Story(
        lambda c, node: c.run(node, rename.rename, name="web1", new="www"), ends.renamed, make
    ),
    "add a card": Story(
        lambda c, node: c.run(node, nics.add, name="web1", network="lan", vlan=7),
        ends.cards(0, 1),
        run_beside_a_network,
    ),
    "take a card away": Story(
        lambda c, node: c.run(node, nics.remove, name="web1", nic="lan"),
        ends.cards(1, 0),
        run_with_a_card,
    ),
    "set a card": Story(
        lambda c, node: c.run(node, nics.set_, name="web1", nic="lan", link="down"),
        ends_of_hosts.has_link_down,
        run_with_a_card,
    ),
    "update while it runs": Story(
        lambda c, node: c.run(node, change.update, name="web1", cpus=3, io_limit="iops=500"),
        ends.grown,
        run,
    ),
    "update": Story(
        lambda c, node: c.run(node, change.update, name="web1", cpus=3), ends.grown, make
    ),
    "put a CD in": Story(
        lambda c, node: c.run(node, change.update, name="web1", iso="debian"),
        ends_of_disks.has_cd,
        run_beside_a_cd,
    ),
    "migrate what is saved": Story(
        lambda c, node: c.run(
            node, migrate.migrate, name="web1", to=other(node), discard_saved=True
        ),
        ends.with_memory(ends.moved_from(itself)),
        save,
    ),
    "update what is saved": Story(
        lambda c, node: c.run(node, change.update, name="web1", cpus=3, discard_saved=True),
        ends.with_memory(ends.grown),
        save,
    ),
    "delete what is saved": Story(
        lambda c, node: c.run(node, delete.delete, name="web1", discard_saved=True),
        ends.with_memory(ends.reverse(ends.exists)),
        save,
    ),
    "add a disk": Story(add_disk, ends_of_disks.has_second, run),
    "remove a disk": Story(remove_disk, ends.reverse(ends_of_disks.has_second), run_with_two_disks),
    "grow a disk": Story(grow_disk(1), ends_of_disks.grown(1), run),
    "grow a file": Story(grow_disk(2), ends_of_disks.grown(2), run_with_a_file),
    "set a disk": Story(set_disk, ends_of_disks.limited, run),
    "give a device": Story(give_device, ends_of_hosts.has_device, run),
    "take a device": Story(take_device, ends.reverse(ends_of_hosts.has_device), run_with_a_device),
    "edit": Story(lay_over, ends_of_hosts.has_overlay, make),
    "resync": Story(lambda c, node: c.run(node, resync.resync, name="web1"), ends.same, make),
    "resolve": Story(resolve_for(itself), ends.kept(itself), split),
    "resolve for the other": Story(resolve_for(other), ends.kept(other), split),
    "register": Story(take_over(False), taken, lose_owner, THREE, healed=taken_and_back),
    "evacuate a dead node": Story(
        lambda c, node: c.run(other(node), draining.evacuate, node="n3"),
        taken,
        lose_owner,
        THREE,
        healed=taken_and_back,
    ),
    "evacuate a dead armed node": Story(
        lambda c, node: c.run(other(node), draining.evacuate, node="n3"),
        taken,
        lose_armed_owner(is_declared=True),
        THREE,
        healed=taken_and_back,
    ),
    "register stale": Story(
        take_over(True), taken, lose_owner_and_step, THREE, healed=taken_and_back
    ),
    "image add": Story(add_image(other), ends.image),
    "image sync": Story(
        lambda c, node: c.run(node, images.sync, name="debian", on=[other(node)]),
        ends.image_on(other),
        add_image(),
    ),
    "image drop": Story(
        lambda c, node: c.run(node, images.drop, name="debian", node=other(node)),
        ends.reverse(ends.image_on(other)),
        add_image(other),
    ),
    "image delete": Story(
        lambda c, node: c.run(node, images.delete, name="debian"),
        ends.reverse(ends.image),
        add_image(other),
    ),
    "migrate a service": Story(services.migrate, services.moved, services.equip_and_start),
    "add-node": Story(add, ends.member, blank),
    "remove-node": Story(blank, ends.reverse(ends.member)),
    "pool create": Story(make_pool, ends.shared, mount),
    "pool delete": Story(
        lambda c, node: c.run(node, pools.delete, name="nfs"), ends.reverse(ends.shared), share
    ),
}

CHANGES = {
    "leave etcd behind": Story(
        leave_etcd,
        ends_of_nodes.left_etcd,
        lose_majority,
        names=FIVE,
        healed=ends_of_nodes.agreed,
    ),
    "call an armed node dead": Story(
        lambda c, node: c.run(node, members.offline, names=["n3"], confirm_dead=True),
        ends_of_nodes.taken,
        lose_armed_owner(is_declared=False),
        THREE,
        healed=two_again,
    ),
    "disarm": Story(
        disarm,
        ends.reverse(ends_of_nodes.armed),
        move_and_arm,
        names=THREE,
        victims=("the coordinator", "a third"),
    ),
    "permission add": Story(permit, ends.superuser),
    "permission add of three": Story(
        permit,
        ends.superuser,
        names=THREE,
        victims=("the coordinator", "its peer", "a third"),
    ),
    "permission remove": Story(forbid, ends.reverse(ends.superuser), permit),
    "network create": Story(
        lambda c, node: c.run(node, network.create, name="lan", bridge="br-lan"), ends.named
    ),
    "network create by NAT": Story(
        lambda c, node: c.run(node, network.create, name="lan", nat=True), ends.named
    ),
    "maintenance": Story(offline(other), ends.reverse(ends.online(other))),
    "maintenance of itself": Story(offline(itself), ends.reverse(ends.online(itself))),
    "node online": Story(
        lambda c, node: c.run(other(node), members.online, name=other(node)),
        ends.online(other),
        offline(other),
    ),
    "confirm dead": Story(
        offline(third, confirm_dead=True),
        ends.reverse(ends.online(third)),
        lambda cluster, node: cluster.down.add("n3"),
        THREE,
        healed=two_again,
    ),
    "create a service": Story(services.make, services.exists, services.equip),
    "delete a service": Story(services.delete, services.is_gone, services.equip_and_make),
    "start a service": Story(services.start, services.started, services.equip_and_make),
    "stop a service": Story(services.stop, services.stopped, services.equip_and_start),
    "migrate a stopped service": Story(
        services.migrate, services.moved_stopped, services.equip_and_make
    ),
    "confirm dead, alone": Story(
        offline(other, confirm_dead=True),
        ends.reverse(ends.online(other)),
        lambda cluster, node: cluster.down.add(other(node)),
        victims=("the coordinator",),
        healed=two_again,
    ),
}

VERIFICATIONS = {
    name: Story(lambda c, node: c.run(node, verify.verify, name="web1"), end, before)
    for name, end, before in (
        ("verify", ends.verified, fail),
        ("verify what differs", ends.found, fail_and_differ),
    )
}

STORIES = PLANS | CHANGES | VERIFICATIONS
