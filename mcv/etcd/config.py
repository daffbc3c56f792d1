"""The file that a member of etcd starts by."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HEARTBEAT = 250  # ms at pace 1
ELECTION = 2500  # ms at pace 1: a leader that is lost is replaced within 4 to 6 s
QUOTA = 2 * 1024**3  # bytes; above it etcd takes no write
RETENTION = "1h"  # etcd 3.4 forgets nothing by itself

State = Literal["new", "existing"]


@dataclass(frozen=True)
class Configuration:
    """What one member of etcd is started with.

    `members` are the URLs at which its peers are reached, its own among them, by their names.
    `state` is "new" where all of them begin together, "existing" for one that joins.
    """

    name: str
    address: str
    port: int
    peer_port: int
    cluster: str
    members: Mapping[str, str]
    state: State
    directory: Path
    key: Path
    pace: int = 1
    quota: int = QUOTA

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def certificate(self) -> Path:
        return self.directory / "certificate.pem"

    @property
    def bundle(self) -> Path:
        return self.directory / "bundle.pem"

    def text(self) -> str:
        """The file, as JSON, which etcd's YAML reads."""
        client, peer = url(self.address, self.port), url(self.address, self.peer_port)
        tls = {
            "cert-file": str(self.certificate),
            "key-file": str(self.key),
            "client-cert-auth": True,
            "trusted-ca-file": str(self.bundle),
        }
        values = {
            "name": self.name,
            "data-dir": str(self.data),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": ",".join(
                f"{name}={at}" for name, at in sorted(self.members.items())
            ),
            "initial-cluster-token": self.cluster,
            "initial-cluster-state": self.state,
            "strict-reconfig-check": True,
            "client-transport-security": tls,
            "peer-transport-security": tls,
            # Without it a member that comes back from a cut deposes the healthy leader.
            "pre-vote": True,
            "heartbeat-interval": HEARTBEAT * self.pace,
            "election-timeout": ELECTION * self.pace,
            "quota-backend-bytes": self.quota,
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": RETENTION,
            "enable-v2": False,
            "enable-grpc-gateway": True,  # on by default, but not beside a file
            "logger": "zap",
            "log-level": "warn",
        }
        return json.dumps(values, indent=2) + "\n"


def url(address: str, port: int) -> str:
    """Where a member of etcd answers."""
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"
