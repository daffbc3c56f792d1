"""A real etcd on 127.0.0.1, with keys and a data directory of its own, for tests."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mcv.errors import McvError
from mcv.etcd.client import Etcd
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.members import Upkeep
from mcv.rpc import pki, tls

ADDRESS = "127.0.0.1"
PATIENCE = 10.0  # s for a start, and for an answer: these tests are about answers, not about time
MEMORY = Path("/dev/shm")  # etcd waits for its disk at each write


def free_port() -> int:
    with socket.socket() as found:
        found.bind((ADDRESS, 0))
        port: int = found.getsockname()[1]
        return port


@dataclass
class Member:
    """One member: its identity, its ports, and its process while it runs."""

    name: str
    directory: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.identity = pki.create(self.name, self.directory / "pki")
        self.certificate = self.directory / "etcd.pem"
        self.certificate.write_text(pki.certificate_at(self.identity, ADDRESS))

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.name, ADDRESS, self.port)

    @property
    def peer_url(self) -> str:
        return f"https://{ADDRESS}:{self.peer_port}"

    def start(self, bundle: Path, cluster: Sequence["Member"], state: str = "new") -> None:
        url = f"https://{ADDRESS}:{self.port}"
        members = ",".join(f"{each.name}={each.peer_url}" for each in cluster)
        files = (f"--cert-file={self.certificate}", f"--key-file={self.identity.key}")
        peer_files = [option.replace("--", "--peer-") for option in files]
        log = (self.directory / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [
                    *("etcd", f"--name={self.name}", f"--data-dir={self.data}"),
                    *(f"--listen-client-urls={url}", f"--advertise-client-urls={url}"),
                    f"--listen-peer-urls={self.peer_url}",
                    f"--initial-advertise-peer-urls={self.peer_url}",
                    *(f"--initial-cluster={members}", f"--initial-cluster-state={state}"),
                    *(*files, f"--trusted-ca-file={bundle}", "--client-cert-auth"),
                    *(*peer_files, f"--peer-trusted-ca-file={bundle}", "--peer-client-cert-auth"),
                    *("--heartbeat-interval=50", "--election-timeout=500", "--pre-vote=true"),
                    *("--logger=zap", "--log-level=warn", *self.options),
                ],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def hang(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        # A thread that is at work on another processor stops a moment later.
        while not all(
            _is_stopped(task) for task in Path(f"/proc/{self.process.pid}/task").iterdir()
        ):
            time.sleep(0.001)

    def go_on(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


def _is_stopped(task: Path) -> bool:
    return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"


class Servers:
    """Some members of one etcd."""

    def __init__(self, *names: str, options: Sequence[str] = ()) -> None:
        base = MEMORY if MEMORY.is_dir() else None
        self.directory = Path(tempfile.mkdtemp(prefix="mcv-etcd-", dir=base))
        self._options = options
        self.members = [Member(name, self._made(name), options) for name in names]
        self._write_bundle()

    def add(self, name: str) -> Member:
        """Another member, not started; every member that starts from now on trusts it."""
        member = Member(name, self._made(name), self._options)
        self.members.append(member)
        self._write_bundle()
        return member

    def _made(self, name: str) -> Path:
        directory = self.directory / name
        directory.mkdir()
        return directory

    @property
    def bundle(self) -> Path:
        return self.directory / "bundle.pem"

    def _write_bundle(self) -> None:
        self.bundle.write_text("".join(each.certificate.read_text() for each in self.members))

    def __getitem__(self, name: str) -> Member:
        return next(each for each in self.members if each.name == name)

    def start(self) -> None:
        for member in self.members:
            member.start(self.bundle, self.members)
        self.wait()

    def wait(self) -> None:
        """Until a majority serves, and each member that runs.

        One that has just started serves nobody before a majority knows of it, and for ever where
        that is gone by then.
        """
        gateway = self.gateway()
        running = [gateway.only(each.endpoint) for each in self.members if each.process]
        until = time.monotonic() + PATIENCE
        while True:
            try:
                for one in (gateway, *running):
                    Etcd(one).read(b"/")
            except McvError:
                if time.monotonic() > until:
                    logs = [(each.directory / "log").read_text()[-2000:] for each in self.members]
                    raise AssertionError("\n".join(logs)) from None
                time.sleep(0.05)
            else:
                for one in (gateway, *running):
                    one.close()
                return

    def context(self, endpoint: Endpoint) -> ssl.SSLContext:
        """The first member's own: each expects exactly the certificate of whom it calls."""
        expected = self[endpoint.name].certificate.read_text()
        first = self.members[0]
        return tls.client_context(first.identity, expected, first.certificate)

    def gateway(self, patience: float = PATIENCE) -> Gateway:
        return Gateway([each.endpoint for each in self.members], self.context, patience)

    def etcd(self) -> Etcd:
        return Etcd(self.gateway())

    def upkeep(self) -> Upkeep:
        return Upkeep(self.gateway())

    def stop(self) -> None:
        for member in self.members:
            member.kill()
        shutil.rmtree(self.directory)
