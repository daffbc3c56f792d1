"""Nodes whose etcd is a real one, started by the very file that mcv writes."""

import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from mcv.document import etcd_voters
from mcv.document.etcd_voters import Terms, Voter
from mcv.drivers.etcd_local import LocalEtcd
from mcv.drivers.etcd_unit import EtcdUnit
from mcv.etcd.config import Configuration, url
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.rpc import pki, tls
from mcv.rpc.etcd_certificates import Certificates
from tests.documents import after, document
from tests.etcd.server import PATIENCE, free_port

ADDRESSES = {"n1": "127.0.0.1", "n2": "127.0.0.2", "n3": "127.0.0.3"}


def variables(text: str) -> dict[str, str]:
    """What systemd makes of an EnvironmentFile with plain values."""
    return dict(line.split("=", 1) for line in text.splitlines())


class Systemd:
    """Starts and stops the member that one directory describes, as the unit would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        self.commands: list[str] = []

    def run(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        self.commands.append(" ".join(command))
        if command[1] == "show":
            return "active\n" if self.process else "inactive\n"
        if command[1] in ("stop", "restart"):
            self.end()
        if command[1] in ("start", "restart") and self.process is None:
            log = (self.directory / "log").open("ab")
            environment = variables((self.directory / "etcd.env").read_text())
            self.process = subprocess.Popen(["etcd"], stdout=log, stderr=log, env=environment)
        return ""

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Nodes:
    """Some nodes, each with an address, a certificate and a unit of its own."""

    def __init__(self, directory: Path) -> None:
        names = [*ADDRESSES, "n4"]  # n4 is no member of the document
        self.identities = {name: pki.create(name, directory / name / "pki") for name in names}
        base = document(*ADDRESSES)
        for name, address in ADDRESSES.items():
            pem = self.identities[name].certificate_pem
            base = base.with_node(structs.replace(base.node(name), certificate=pem))
            base = after(
                base, "node.addresses", name=name, ip_address=address, drbd_address=address
            )
            certificate = Certificates(self.identities[name]).kept(address)
            base = after(base, "node.etcd", name=name, certificate=certificate)
        self.cluster = after(
            base, "store.etcd", id="0123456789abcdef", voters=list(ADDRESSES), epoch="e2"
        )
        self.port, self.peer_port = free_port(), free_port()
        self.systemd = {name: Systemd(directory / name / "etcd") for name in names}
        self.units = {
            name: EtcdUnit(directory / name / "etcd", self.systemd[name].run) for name in names
        }

    def configuration(self, name: str) -> Configuration:
        assert self.cluster.store is not None
        return Configuration(
            name=name,
            address=ADDRESSES[name],
            port=self.port,
            peer_port=self.peer_port,
            cluster=self.cluster.store.id,
            members={each: url(at, self.peer_port) for each, at in ADDRESSES.items()},
            state="new",
            directory=self.units[name].directory,
            key=self.identities[name].key,
        )

    @property
    def terms(self) -> Terms:
        return etcd_voters.terms(self.cluster)

    def set_up(self, name: str) -> None:
        certificate = self.cluster.nodes[name].etcd_certificate
        bundle = etcd_voters.bundle(self.cluster)
        self.units[name].set_up(self.configuration(name), certificate, bundle)

    def local(self) -> dict[str, LocalEtcd]:
        return {
            name: LocalEtcd(
                self.units[name],
                self.identities[name].key,
                (self.port, self.peer_port),
                Certificates(self.identities[name]),
                functools.partial(self.reach, name),
            )
            for name in self.units
        }

    def reach(self, me: str, voters: Sequence[Voter]) -> Gateway:
        known = {voter.name: voter.certificate for voter in voters}
        return Gateway(
            [Endpoint(voter.name, voter.address, self.port) for voter in voters],
            lambda at: tls.client_context(self.identities[me], known[at.name]),
        )

    def gateway(self, me: str) -> Gateway:
        known = {voter.name: voter.certificate for voter in etcd_voters.voters(self.cluster)}
        return Gateway(
            etcd_voters.endpoints(self.cluster, self.port, me),
            lambda at: tls.client_context(self.identities[me], known[at.name]),
            PATIENCE,
        )
