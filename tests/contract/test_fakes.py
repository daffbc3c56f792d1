"""The fake doors keep the promises of the real ones; tests/lab/test_contracts.py is their twin."""

from pathlib import Path
from typing import Any, cast

import pytest

from mcv.document.drbd_settings import DrbdSettings
from mcv.document.pools import DEFAULT_LOCATION
from mcv.drivers.bridge import Bridges
from mcv.drivers.directories import Directories
from mcv.drivers.drbd import Drbd
from mcv.drivers.drbd_resource_file import Side, resource_text
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.lvm import Lvm
from tests.contract import (
    Promise,
    bridges,
    directories,
    domains,
    drbd,
    live_disks,
    live_machine,
    live_mirrors,
    live_nics,
    promises,
    replication,
    thin,
    volumes,
    wire,
)
from tests.contract.definition import definition, definition_of_disk
from tests.contract.resource import MINOR, RESOURCE, with_size
from tests.fakes.cluster import FakeCluster
from tests.fakes.directories import FakeDirectories
from tests.fakes.domains import FakeDomains, domain_name
from tests.fakes.drbd import FakeDrbd, World
from tests.fakes.volumes import FakeBridges, FakeLvm
from tests.model.node import Domains


class FakeDomainsStand:
    def __init__(self, fake: FakeDomains) -> None:
        self._fake = fake
        self.domains = cast(Hypervisor, self._fake)

    def definition(
        self, name: str = domains.NAME, uuid: str = domains.UUID, memory_mib: int = 16
    ) -> str:
        return definition(self._fake.capabilities(), name, uuid, memory_mib, image="/guest.img")

    def disk(self, target: str) -> str:
        return definition_of_disk(target, "/more.img")

    def volume(self, name: str) -> str:
        return f"/{name}.img"

    def define_as_others_do(self, xml: str) -> None:
        self._fake.defined[domain_name(xml)] = xml

    def start_as_others_do(self, name: str) -> None:
        self._fake.power_on(name)

    def raw_state(self, name: str) -> str:
        return self._fake.state_of(name) if name in self._fake.definitions() else "absent"

    def autostart(self, name: str) -> None:
        self._fake.autostart.add(name)

    def kill(self, name: str) -> None:
        self._fake.crash(name)

    def save(self, name: str) -> None:
        self._fake.saved.save(name)

    def spoil(self, name: str) -> None:
        self._fake.broken.add("start")


@pytest.mark.parametrize("promise", promises(domains), ids=lambda one: one.__name__)
def test_the_fake_of_libvirt(promise: Promise) -> None:
    promise(FakeDomainsStand(FakeDomains(lambda: domains.KNOWN)))


@pytest.mark.parametrize("promise", promises(live_disks), ids=lambda one: one.__name__)
def test_the_fake_of_libvirts_disks(promise: Promise) -> None:
    fake = FakeDomains(lambda: domains.KNOWN)
    fake.disks.deaf.add(domains.NAME)
    promise(FakeDomainsStand(fake))


@pytest.mark.parametrize("promise", promises(live_machine), ids=lambda one: one.__name__)
def test_the_fake_of_a_live_machine(promise: Promise) -> None:
    fake = FakeDomains(lambda: domains.KNOWN)
    fake.machine.deaf.add(domains.NAME)
    promise(FakeDomainsStand(fake))


@pytest.mark.parametrize("promise", promises(live_nics), ids=lambda one: one.__name__)
def test_the_fake_of_libvirts_cards(promise: Promise) -> None:
    fake = FakeDomains(lambda: domains.KNOWN)
    fake.nics.deaf.add(domains.NAME)
    promise(FakeDomainsStand(fake))


@pytest.mark.parametrize("promise", promises(live_mirrors), ids=lambda one: one.__name__)
def test_the_fake_of_qemus_mirrors(promise: Promise) -> None:
    promise(FakeDomainsStand(FakeDomains(lambda: domains.KNOWN)))


@pytest.mark.parametrize("promise", promises(domains), ids=lambda one: one.__name__)
def test_the_models_fake_of_libvirt(promise: Promise) -> None:
    promise(FakeDomainsStand(Domains(fails=lambda: False).bound(lambda: domains.KNOWN)))


class FakeLvmStand:
    def __init__(self) -> None:
        self._fake = FakeLvm()
        self.volumes = cast(Lvm, self._fake)

    def hold(self, name: str) -> None:
        self._fake.broken.add("remove")

    def release(self, name: str) -> None:
        self._fake.broken.clear()


@pytest.mark.parametrize("promise", promises(volumes), ids=lambda one: one.__name__)
def test_the_fake_of_lvm(promise: Promise) -> None:
    promise(FakeLvmStand())


class FakeDirectoriesStand:
    location, nowhere = DEFAULT_LOCATION, "/nowhere"

    def __init__(self) -> None:
        self.directories = cast(Directories, FakeDirectories())


@pytest.mark.parametrize("promise", promises(directories), ids=lambda one: one.__name__)
def test_the_fake_of_directories(promise: Promise) -> None:
    promise(FakeDirectoriesStand())


@pytest.mark.parametrize("promise", promises(thin), ids=lambda one: one.__name__)
def test_the_fake_of_thin_pools(promise: Promise) -> None:
    stand = FakeLvmStand()
    cast(Any, stand.volumes).make_pool(thin.POOL)
    promise(stand)


@pytest.mark.parametrize("promise", promises(bridges), ids=lambda one: one.__name__)
def test_the_fake_of_bridges(promise: Promise) -> None:
    promise(cast(Bridges, FakeBridges(("br-lan", "br-dmz"))))


class FakeDrbdStand:
    def __init__(self, directory: Path) -> None:
        self._world = World()
        self._fakes = [FakeDrbd(name, self._world, directory) for name in ("n1", "n2")]
        self.here, self.there = (cast(Drbd, fake) for fake in self._fakes)
        self.backing = "/dev/vg0/a"
        sides = [
            Side(name, name, f"10.0.0.{name[1]}", "/dev/vg0/contract") for name in ("n1", "n2")
        ]
        text = resource_text(
            DrbdSettings(),
            RESOURCE,
            minor=MINOR,
            port=7790,
            sides=sides,
            generation=8,
            secret="contract",
            handler="/bin/false",
            state="/var/lib/mcv/n1",
        )
        self._file = directory / f"{RESOURCE}.res"
        self._file.write_text(text)

    def born(self) -> None:
        for fake in self._fakes:
            fake.metadata.create(RESOURCE)
            fake.up(RESOURCE)
        self.here.metadata.new_current_uuid_clear_bitmap(RESOURCE, MINOR)

    def wiped(self) -> None:
        """A new world has no metadata."""

    def differ(self) -> None:
        self._world.differs[RESOURCE] = 4096

    def detach(self) -> None:
        self._fakes[1].detach(RESOURCE)

    def give_size(self, size: int) -> None:
        self._file.write_text(with_size(self._file.read_text(), size))

    def hold(self) -> None:
        self._fakes[0].broken.add("down")

    def release(self) -> None:
        self._fakes[0].broken.clear()

    def slow_down(self) -> None:
        self._fakes[0].broken.add("slow")

    def speed_up(self) -> None:
        self._fakes[0].broken.discard("slow")


@pytest.mark.parametrize("promise", promises(drbd, replication), ids=lambda one: one.__name__)
def test_the_fake_of_drbd(tmp_path: Path, promise: Promise) -> None:
    promise(FakeDrbdStand(tmp_path))


class FakeWireStand:
    there = "n2"

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        host = cluster.hosts["n1"]
        host.advice = host.observations.advice  # as the daemon has it

    def call(self, node: str, operation: str, /, **params: Any) -> Any:
        return self._cluster.hosts["n1"].call(node, operation, **params)

    def kill(self) -> None:
        self._cluster.down.add(self.there)

    def revive(self) -> None:
        self._cluster.down.clear()


@pytest.mark.parametrize("promise", promises(wire), ids=lambda one: one.__name__)
def test_the_fake_of_the_wire(cluster: FakeCluster, promise: Promise) -> None:
    promise(FakeWireStand(cluster))
