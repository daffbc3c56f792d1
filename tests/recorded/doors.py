"""The state of the fake doors as a value: beside a recorded disk it is what a node needs."""

from pathlib import Path

import msgspec

from mcv.document.disks import Format
from mcv.drivers.drbd_status import Generations
from tests.fakes.cluster import FakeCluster
from tests.fakes.directories import FakeDirectories
from tests.fakes.drbd import FakeDrbd, Replica


class DomainsState(msgspec.Struct, kw_only=True):
    """The libvirt of one host; `begun_with` are the definitions of what is active."""

    defined: dict[str, str]
    active: dict[str, str]
    begun_with: dict[str, str]


class DrbdState(msgspec.Struct, kw_only=True):
    """The DRBD of one host, and the metadata of what is down."""

    release: int = 8
    kept: dict[str, str]
    standalone: set[str]
    two_primaries: set[str]
    discarding: set[str]
    wrote: dict[str, int]
    generations: dict[str, Generations]


class FilesState(msgspec.Struct, kw_only=True):
    """The directories of one host: the sizes of files by name, formats by path, marks."""

    made: dict[str, dict[str, int]]
    formats: dict[str, Format]
    marks: dict[str, str]


class NodeState(msgspec.Struct, kw_only=True):
    """The doors of one host; `untagged` are volumes that are mcv's no more.

    `thin` has the pool of each thin volume; it and `files` are new in schema 3.
    """

    domains: DomainsState
    drbd: DrbdState
    volumes: dict[str, int]
    untagged: set[str]
    thin: dict[str, str] = {}
    files: FilesState | None = None


class DoorsState(msgspec.Struct, kw_only=True):
    """The doors of all hosts, and what their kernels share."""

    nodes: dict[str, NodeState]
    replicas: dict[str, dict[str, Replica]]
    differs: dict[str, int]
    out_of_sync: dict[str, int]
    verifying: dict[str, str]
    met: set[str]
    begun: int
    down: set[str]


def write(state: DoorsState, path: Path) -> None:
    text = msgspec.json.format(msgspec.json.encode(state, order="deterministic"), indent=1)
    path.write_bytes(text + b"\n")


def read(path: Path) -> DoorsState:
    return msgspec.json.decode(path.read_bytes(), type=DoorsState)


def look(cluster: FakeCluster) -> DoorsState:
    """What the doors of a cluster hold now."""
    world = cluster.world
    return DoorsState(
        nodes={name: _look_at_node(cluster, name) for name in cluster.hosts},
        replicas=world.replicas,
        differs=world.differs,
        out_of_sync=world.out_of_sync,
        verifying=world.verifying,
        met=world.met,
        begun=world.begun,
        down=cluster.down,
    )


def _look_at_node(cluster: FakeCluster, name: str) -> NodeState:
    libvirt, drbd, lvm = cluster.domains[name], cluster.drbd[name], cluster.lvm[name]
    return NodeState(
        domains=DomainsState(
            defined=libvirt.defined, active=libvirt.active, begun_with=libvirt._begun_with
        ),
        drbd=DrbdState(
            release=drbd.release,
            kept=drbd.kept,
            standalone=drbd.standalone,
            two_primaries=drbd.two_primaries,
            discarding=drbd.discarding,
            wrote=drbd.wrote,
            generations=drbd.generations,
        ),
        volumes=lvm.made,
        untagged=lvm.foreign,
        thin=lvm.thin,
        files=_look_at_files(cluster.directories[name]),
    )


def _look_at_files(directories: FakeDirectories) -> FilesState:
    return FilesState(
        made=directories.made,
        formats=directories.formats,
        marks={location: about.mark for location, about in directories.about.items()},
    )


def restore(cluster: FakeCluster, state: DoorsState) -> None:
    """Bring the doors of a cluster, which has made nothing yet, to a recorded state."""
    world = cluster.world
    world.replicas.update(state.replicas)
    world.differs.update(state.differs)
    world.out_of_sync.update(state.out_of_sync)
    world.verifying.update(state.verifying)
    world.met.update(state.met)
    world.begun = state.begun
    world.down.update(state.down)
    for name, node in state.nodes.items():
        libvirt, lvm = cluster.domains[name], cluster.lvm[name]
        libvirt.defined.update(node.domains.defined)
        libvirt.active.update(node.domains.active)
        libvirt._begun_with.update(node.domains.begun_with)
        lvm.made.update(node.volumes)
        lvm.foreign.update(node.untagged)
        for pool in sorted(set(node.thin.values())):
            lvm.make_pool(pool)
        lvm.thin.update(node.thin)
        if node.files is not None:
            _restore_files(cluster.directories[name], node.files)
        _restore_drbd(cluster.drbd[name], node.drbd)


def _restore_files(directories: FakeDirectories, state: FilesState) -> None:
    directories.made.update(state.made)
    directories.formats.update(state.formats)
    for location, mark in state.marks.items():
        directories.at(location).mark = mark


def _restore_drbd(drbd: FakeDrbd, state: DrbdState) -> None:
    drbd.release = state.release
    drbd.kept.update(state.kept)
    drbd.standalone.update(state.standalone)
    drbd.two_primaries.update(state.two_primaries)
    drbd.discarding.update(state.discarding)
    drbd.wrote.update(state.wrote)
    drbd.generations.update(state.generations)
