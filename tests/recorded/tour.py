"""A life of a cluster, with what lies on its nodes' disks kept at several moments.

python -m tests.recorded.tour DIRECTORY
"""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mcv import storage
from mcv.cluster import ha_domains, ha_entries, joining, members, permissions
from mcv.document import changes
from mcv.document.generation import Past
from mcv.document.model import digest
from mcv.document.store import Store
from mcv.document.subject import Subject
from mcv.drbd import enable, roles, verify
from mcv.drbd import notes as notes_
from mcv.drivers.domain_xml import domain_xml
from mcv.errors import Busy, McvError, OutcomeOpen, Refused
from mcv.host import Host
from mcv.network import verbs as network
from mcv.service import create as services
from mcv.storage import pools
from mcv.system import files
from mcv.system.answers import plain
from mcv.timestamps import timestamp
from mcv.vm import change, create, disk_add, disk_grow, disk_move, migrate, nics, power
from tests.deaths.stories import THREE
from tests.documents import made
from tests.fakes.cluster import FakeCluster
from tests.recorded import doors
from tests.recorded.death import quicken

MEMORY = "64MiB"
VERIFIED = ("clean", "found", "cut", "never")  # VMs, by what their verification comes to


class Tour:
    """The cluster that is travelled with, and where its disks are kept."""

    def __init__(self, directory: Path, target: Path, names: tuple[str, ...]) -> None:
        self.cluster = FakeCluster(directory, names)
        self._target = target

    def run(self, function: Any, **params: Any) -> Any:
        return self.cluster.run("n1", function, **params)

    @property
    def host(self) -> Host:
        return self.cluster.hosts["n1"]

    @property
    def store(self) -> Store:
        """The documents on n1's disk, as a daemon that starts finds them."""
        return Store(self.host.settings.state, self.host.settings.history)

    def keep(self, moment: str) -> None:
        """Copy the state directories as they lie there, without the keys, and resource files."""
        for top in ("var", "drbd.d"):
            source = self.cluster.directory / top
            if source.exists():
                to = self._target / moment / top
                shutil.copytree(source, to, ignore=shutil.ignore_patterns("pki"))
        for node, libvirt in self.cluster.domains.items():
            for name, xml in libvirt.defined.items():
                files.write_atomically(
                    self._target / moment / "domains" / node / f"{name}.xml", xml
                )
        doors.write(doors.look(self.cluster), self._target / moment / "doors.json")


@contextlib.contextmanager
def toured(target: Path, *names: str) -> Iterator[Tour]:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        yield Tour(Path(directory), target, names)


def alone(target: Path) -> None:
    with toured(target, "n1") as tour:
        tour.keep("alone")
        tour.run(network.create, name="lan", bridge="br-lan")
        tour.run(create.create, name="idle", memory=MEMORY, networks=["lan"])
        tour.keep("alone-with-a-vm")


def two(target: Path) -> None:
    """Verifications of every kind, jobs and notes; then while the peer is gone."""
    with toured(target, "n1", "n2") as tour:
        tour.run(permissions.add, user="alice")
        tour.run(permissions.add, user="bob")
        tour.run(network.create, name="lan", bridge="br-lan")
        tour.run(enable.set_, values={"resync-rate": "100MiB", "on-peer-loss": "wait"})
        _make_vms(tour)
        _verify(tour)
        tour.run(power.start, name="found", ignore_verify=True)
        tour.run(change.lock, name="never")
        _end_jobs(tour.host)
        tour.cluster.look("n2")
        _leave_notes(tour)
        _see(tour.host)
        tour.keep("noted")


def _make_vms(tour: Tour) -> None:
    for name in VERIFIED:
        disks = ["64MiB", "12MiB"] if name == "clean" else ["8MiB"]
        tour.run(create.create, name=name, memory=MEMORY, cpus=2, disks=disks, networks=["lan"] * 2)
    tour.run(create.create, name="idle", memory=MEMORY)


def _verify(tour: Tour) -> None:
    """Each VM but one is verified, and one more disk as if it were under way."""
    drbd = tour.cluster.drbd["n1"]
    tour.cluster.world.differs["mcv-found-1"] = 4096
    tour.run(verify.verify, name="clean")
    tour.run(verify.verify, name="found")
    drbd.broken.add("interrupt")
    tour.run(verify.verify, name="cut")
    drbd.broken.clear()
    mark = {"result": "running", "when": timestamp(), "who": "alice", "operation": "0a1b2c3d"}
    tour.host.update_beside("vm.verified", "verify", name="clean", disk=2, verification=mark)


def _end_jobs(host: Host) -> None:
    """A job for each way to end, and one that has not ended."""

    def refused() -> None:
        raise Refused("web9 is no VM.", "See: mcv list", [("n2 is offline.", "mcv node online n2")])

    def open_() -> None:
        host.job.open = {"change": f"{host.job.id}.c1", "generation": host.read().generation}
        raise OutcomeOpen("It is not known whether that was made.", "mcv info")

    def broken() -> None:
        raise ValueError("what nobody thought of")

    for title, work in (
        ("list web1", lambda: [{"vm": "web1", "disk": 1}]),
        ("start web9", refused),
        ("network create lan", open_),
        ("drbd verify web1", broken),
    ):
        host.jobs.run(host.jobs.begin(title, "alice"), work)
    bar = host.jobs.begin("migrate web1 to n2", "bob")
    bar.progress("memory", 512.0, 4096.0, "B", note="1 MiB/s")
    with contextlib.suppress(Busy):
        host.jobs.begin("migrate web1 to n2", "bob", bar.id)
    host.jobs.begin("resync web1", "carol")


def _leave_notes(tour: Tour) -> None:
    """What the handler leaves on a node, and a finding that could not be written down."""
    notes = tour.host.settings.notes
    notes_.write(notes, "mcv-clean-1", "out-of-sync", when=timestamp())
    notes_.write(notes, "mcv-gone-1", "out-of-sync", when=timestamp())
    why = "n2 cannot be reached: n2 does not answer."
    notes_.write(notes, "mcv-found-1", "alone", since=timestamp(), why=why)
    finding = {"out_of_sync": 8192, "who": "alice", "seconds": 1.5}
    notes_.write(notes, "mcv-never-1", "out-of-sync", when=timestamp(), **finding)


def staged(target: Path) -> None:
    """A join that was begun here and has not arrived, and a document that was dropped."""
    with toured(target, "n1") as tour:
        member = {"name": "n9", "ip_address": "10.0.0.9", "certificate": "certificate of n9"}
        stage = {"operation": "0a1b2c3d", "members": [member]}
        joining.stage_join(tour.host, document=json.dumps(stage))
        store = tour.store
        never = changes.apply(store.read(), "permission.add", {"user": "eve"}, made("e1.1"))
        store.propose(changes.apply(never, "barrier", {}, made("e1.2")))
        store.drop_proposal()
        store.fall_back(store.read())
        tour.keep("staged")


def _see(host: Host) -> None:
    host.observations.hear("n2")
    host.observations.see_in_step("mcv-clean-1")
    host.observations.save(at_once=True)


def elsewhere(target: Path) -> None:
    """What the same VM is where there is KVM, and its resource with DRBD 9."""
    with toured(target, "n1", "n2") as tour:
        tour.run(network.create, name="lan", bridge="br-lan")
        disks = ["64MiB", "12MiB"]
        tour.run(create.create, name="web1", memory=MEMORY, disks=disks, networks=["lan"])
        vm = tour.host.read().vm("web1")
        emulator = "/usr/bin/qemu-system-x86_64"
        tour.host.domains.define(
            domain_xml(
                replace(vm, machine="q35"),
                sources=storage.sources(tour.host.read(), vm, tour.host.name),
                networks=tour.host.read().networks,
                node="n1",
                domain_type="kvm",
                emulator=emulator,
            )
        )
        for drbd in tour.cluster.drbd.values():
            drbd.release = 9
        for host in tour.cluster.hosts.values():
            for disk in vm.replicated:
                roles.write_file(host, host.read(), disk)
        tour.keep("kvm-and-drbd-9")


def three(target: Path) -> None:
    """Claims, a proposal, a dead node and its epoch, a divergence that was ended."""
    with toured(target, *THREE) as tour:
        host = tour.host
        tour.run(create.create, name="web1", memory=MEMORY, disks=["8MiB"], nodes=["n1", "n2"])
        tour.run(create.create, name="web3", memory=MEMORY, disks=["8MiB"], nodes=["n1", "n3"])
        both = [Subject.vm("web1"), Subject.node("n2")]
        with host.claim(both, "migrate web1 to n2"):
            tour.keep("claimed")
        _propose(tour)
        tour.keep("proposed")
        tour.cluster.down.add("n3")
        for name in ("n1", "n2"):
            tour.cluster.boot(name)
            tour.cluster.look(name)
        tour.run(members.offline, names=["n3"], confirm_dead=True)
        tour.keep("declared")
        _end_divergence(tour)
        tour.cluster.look("n2")
        tour.keep("synced")


def _propose(tour: Tour) -> None:
    """n2 cannot be told of the commit, so that its proposal stays."""

    def lose(caller: str, node: str, operation: str) -> None:
        if operation == "config.commit":
            raise McvError("no luck")

    tour.cluster.spy = lose
    tour.run(permissions.add, user="alice")
    tour.cluster.spy = lambda caller, node, operation: None


def _end_divergence(tour: Tour) -> None:
    """The epoch that a sync begins, which names another end as its past."""
    ends = [tour.host.read(), *tour.store.generations()[1:2]]
    past = Past(epoch=ends[1].epoch.id, generation=ends[1].generation, hash=digest(ends[1]))
    tour.host.consensus.resolve_divergence(
        ends[0],
        {
            "pasts": [plain(past)],
            "number": ends[0].epoch.number + 1,
            "epoch": "0123456789abcdef",
        },
        id="0badcafe.c1",
        who="alice",
        why="cluster sync --from n1",
    )


KINDS = {"thin": "tp", "shared": "nfs", "file": "fast", "lvm": "lvm", "drbd": "lvm"}


def kinds(target: Path) -> None:
    """A disk of every kind, in a pool of every type, some of them another one's second disk.

    One VM has cards: in a VLAN, of another model, with the link down.
    """
    with toured(target, "n1", "n2") as tour:
        tour.run(network.create, name="lan", bridge="br-lan")
        on = {"n2": "br-lan"}
        tour.run(network.create, name="dmz", bridge="br-lan", vlan=7, mtu=1400, on=on)
        _make_pools(tour)
        for storage, pool in KINDS.items():
            where = ["n1", "n2"] if storage == "drbd" else ["n1"]
            options: dict[str, Any] = {"storage": storage, "pool": pool, "nodes": where}
            if storage == "shared":
                options = {"storage": storage, "pool": pool, "firmware": "uefi"}
            tour.run(create.create, name=storage, memory=MEMORY, disks=["8MiB"], **options)
        tour.run(disk_add.add, name="drbd", size="12MiB", storage="file", pool="fast")
        tour.run(nics.add, name="lvm", network="dmz", model="e1000", link="down")
        tour.run(nics.add, name="lvm", network="lan", vlan=9)
        tour.run(disk_grow.grow, name="lvm", disk=1, size="16MiB")
        tour.run(disk_move.move, name="file", disk=1, storage="lvm", pool="lvm")
        tour.run(migrate.migrate, name="thin", to="n2")
        tour.run(power.start, name="drbd")
        tour.keep("kinds")


def managed(target: Path) -> None:
    """What high availability manages: entries, a domain, ties, a service, plugs that are known."""
    with toured(target, "n1", "n2") as tour:
        for name in ("web1", "web2"):
            tour.run(create.create, name=name, memory=MEMORY)
        for node in ("n1", "n2"):
            tour.cluster.services[node].programs.digests["/etc/init.d/www"] = "0" * 64
        nodes = {"n1": 1, "n2": 2}
        tour.run(ha_domains.create_domain, name="front", nodes=nodes, ordered=True)
        tour.run(ha_entries.add, name="web1", domain="front", recovery="relocate", priority=3)
        tour.run(ha_entries.add, name="web2", state="stopped", failback=False)
        tour.run(ha_domains.tie, kind="apart", names=["web1", "web2"])
        on: dict[str, Any] = {"address": "192.0.2.80/24", "bridge": "br-lan", "units": ["nginx"]}
        scripts = ["/etc/init.d/www"]
        tour.run(services.create, name="www", domain="front", **on, scripts=scripts)
        tour.host.update("ha.failed", "manager", name="web1", why="it failed on n1 and n2")
        tour.host.update("node.macs", "cards", name="n1", macs=["52:54:00:00:00:01"])
        with tour.host.claim([Subject.service("www")], "migrate www to n2"):
            tour.keep("managed")


def _make_pools(tour: Tour) -> None:
    shared = tour.cluster.directories["n1"]
    for name in ("n1", "n2"):
        tour.cluster.lvm[name].uuid = f"group of {name}"
        tour.cluster.lvm[name].make_pool("tp")
        there = tour.cluster.directories[name]
        there.make("/srv/fast")
        there.make("/srv/nfs")
        there.made["/srv/nfs"] = shared.made["/srv/nfs"]
        there.about["/srv/nfs"] = shared.at("/srv/nfs")
    for pool, type, location in (
        ("tp", "thin", "vg0/tp"),
        ("fast", "dir", "/srv/fast"),
        ("nfs", "shared", "/srv/nfs"),
        ("lvm", "lvm", "vg0"),
    ):
        tour.run(pools.create, name=pool, type=type, location=location)


def main() -> None:
    target = Path(sys.argv[1]) / "trees"
    for part in (alone, two, elsewhere, three, staged, kinds, managed):
        part(target)


if __name__ == "__main__":
    main()
