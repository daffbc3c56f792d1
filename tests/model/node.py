"""One host of the model: its disk, its domains, and the real daemon that runs on it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mcv.daemon import Daemon
from mcv.document.initial import alone
from mcv.document.model import Cluster, Node
from mcv.drivers.libvirt_identity import KnownUuids
from mcv.errors import HypervisorFailed
from mcv.settings import Settings
from tests.fakes.domains import FakeDomains
from tests.model.life import Life


@dataclass(frozen=True)
class Identity:
    """What a daemon shows who calls: another one each time its host is installed."""

    certificate_pem: str
    # Files that nothing reads here:
    key: Path = Path("key.pem")
    certificate: Path = Path("certificate.pem")
    directory: Path = Path()

    def damage(self) -> None:
        """A key is always whole here."""


class Domains(FakeDomains):
    """Libvirt of one host: definitions survive a reboot, what runs does not."""

    def __init__(self, fails: Callable[[], bool]) -> None:
        super().__init__()
        self.fails = fails
        self.stopped: set[str] = set()  # on somebody's word

    def bound(self, known: KnownUuids) -> "Domains":
        """The same libvirt, as a daemon that has just started finds it."""
        self.known = known
        return self

    def define(self, xml: str) -> None:
        if self.fails():
            raise HypervisorFailed("Could not define it: libvirt is not well.")
        super().define(xml)

    def stop(self, name: str) -> None:
        self._note(name)
        super().stop(name)

    def shutdown(self, name: str) -> None:
        self._note(name)
        super().shutdown(name)

    def _note(self, name: str) -> None:
        if name in self.active:
            self.stopped.add(name)


class SimNode:
    """A host: up or not, with a daemon or not, member or not."""

    def __init__(self, name: str, root: Path, fails: Callable[[], bool]) -> None:
        self.name = name
        self.address = f"10.0.0.{name.removeprefix('n')}"
        self.installed = 1
        self.boots = 0
        self.host_up = True
        self.life = Life(name)
        self.daemon: Daemon | None = None
        self.domains = Domains(fails)
        self.settings = Settings(
            hostname=name,
            node=name,
            address=self.address,
            drbd_address=self.address,
            var=root,
            run=root / name / "run",
            drbd_directory=root / name / "drbd.d",
        )

    @property
    def certificate(self) -> str:
        return f"certificate {self.installed} of {self.name}"

    @property
    def boot(self) -> str:
        return f"boot {self.boots} of {self.name}"

    @property
    def serves(self) -> bool:
        return self.daemon is not None and not self.life.frozen

    def document(self) -> Cluster:
        """What its daemon holds as settled."""
        assert self.daemon is not None
        return self.daemon.host.read()

    def active(self, name: str) -> bool:
        return self.domains.active.get(name) == "running"

    def install(self) -> None:
        """Install the host anew: nothing of what it was is left."""
        shutil.rmtree(self.settings.state, ignore_errors=True)
        self.installed += 1
        self.domains = Domains(self.domains.fails)

    def member(self) -> Node:
        return Node(
            name=self.name,
            hostname=self.name,
            ip_address=self.address,
            drbd_address=self.address,
            certificate=self.certificate,
        )


def first_document(nodes: list[SimNode]) -> Cluster:
    """A cluster of all of them, without VMs."""
    base = alone(nodes[0].settings, nodes[0].certificate)
    return msgspec.structs.replace(base, nodes={one.name: one.member() for one in nodes})


def nothing(*_: Any, **__: Any) -> None:
    """What a door of no part in the model does."""
