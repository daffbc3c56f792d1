"""A recorded death: what lay on the disks of all nodes, and in the doors, at that instant."""

import time
from pathlib import Path

import msgspec
import pytest

from mcv.drbd import roles
from mcv.transaction.journal import Entry, decode
from mcv.vm import image
from tests.deaths.pace import hasten, spare_the_disk
from tests.fakes.cluster import FakeCluster
from tests.recorded import doors

KEPT = ("var", "drbd.d")  # of a cluster's directory: state directories, resource files
NEWEST = 2  # generations of a history that are recorded


class Death(msgspec.Struct, kw_only=True):
    """The cluster as all its nodes lost power, in the middle of a story.

    `at` is the host's clock then, `end` what came of it when the program that wrote it
    was back: "whole", "nothing", or "either" where both look alike. `paths` says which of
    the texts each file holds: most files are the same on all nodes.
    """

    story: str
    node: str
    instant: str
    at: float
    end: str
    names: tuple[str, ...]
    paths: dict[str, int]
    texts: list[str]
    doors: doors.DoorsState

    @property
    def files(self) -> dict[str, str]:
        """The text of each file of the cluster's directory."""
        return {path: self.texts[number] for path, number in self.paths.items()}

    @property
    def entries(self) -> dict[str, Entry]:
        """The journal entries of all nodes, by the path of their file."""
        return {
            path: decode(text)
            for path, text in self.files.items()
            if Path(path).parent.name == "journal"
        }


def record(
    cluster: FakeCluster, story: str, node: str, instant: str, names: tuple[str, ...]
) -> Death:
    """What there is now, as a copy that the cluster's further life does not change."""
    files = {
        str(path.relative_to(cluster.directory)): path.read_text(encoding="utf-8")
        for path in _kept(cluster)
    }
    texts = sorted(set(files.values()))
    state = msgspec.convert(msgspec.to_builtins(doors.look(cluster)), doors.DoorsState)
    return Death(
        story=story,
        node=node,
        instant=instant,
        at=time.time(),
        end="",
        names=names,
        paths={path: texts.index(text) for path, text in files.items()},
        texts=texts,
        doors=state,
    )


def _kept(cluster: FakeCluster) -> list[Path]:
    """The files of all nodes; of each history the newest, of which no node needs more."""
    found = {path for top in KEPT for path in (cluster.directory / top).rglob("*")}
    for host in cluster.hosts.values():
        found -= set(sorted((host.settings.state / "history").iterdir())[:-NEWEST])
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def wake(death: Death, directory: Path) -> FakeCluster:
    """Power is back on all nodes that were up, and their daemons start."""
    for name, text in death.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    cluster = FakeCluster(directory, death.names, begins=False)
    _give_keys(cluster)
    doors.restore(cluster, death.doors)
    for name in sorted(set(death.names) - cluster.down):
        host = cluster.hosts[name]
        host.jobs.close_interrupted({entry.operation for entry in host.journal.entries()})
        roles.bring_up(host)
    return cluster


def _give_keys(cluster: FakeCluster) -> None:
    """A node that joins has the certificate that the others' document has for it.

    The story of schema 1 gave it "c"; the node that joins compares both now.
    """
    for name, host in cluster.hosts.items():
        for other in cluster.hosts.values():
            entry = other.read().nodes.get(name)
            if entry is not None and entry.certificate == "c":
                host.certificate = "c"


def quicken(patch: pytest.MonkeyPatch) -> None:
    """No disk and no clock is waited for, and an image has no bytes."""
    spare_the_disk(patch)
    hasten(patch)
    patch.setattr(image, "fill", lambda *_: None)


def turn_back(patch: pytest.MonkeyPatch, to: float) -> None:
    """It is as late as it was when a death was recorded: a staged join is not too old."""
    now, began = time.time, time.time()
    patch.setattr("time.time", lambda: to + now() - began)


def write(death: Death, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(death, order="deterministic"), indent=1)
    path.write_bytes(text + b"\n")


def read(path: Path) -> Death:
    return msgspec.json.decode(path.read_bytes(), type=Death)
