"""The file that a member of etcd starts by."""

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
        """The file: etcd's variables, which its unit reads, a line each."""
        client, peer = url(self.address, self.port), url(self.address, self.peer_port)
        members = ",".join(f"{name}={at}" for name, at in sorted(self.members.items()))
        values: dict[str, object] = {
            "NAME": self.name,
            "DATA_DIR": self.data,
            "LISTEN_CLIENT_URLS": client,
            "ADVERTISE_CLIENT_URLS": client,
            "LISTEN_PEER_URLS": peer,
            "INITIAL_ADVERTISE_PEER_URLS": peer,
            "INITIAL_CLUSTER": members,
            "INITIAL_CLUSTER_TOKEN": self.cluster,
            "INITIAL_CLUSTER_STATE": self.state,
            "STRICT_RECONFIG_CHECK": "true",
            **self._tls(""),
            **self._tls("PEER_"),
            # A peer is its certificate. By default etcd asks also that it calls from the address
            # in it, which a host with several addresses may not.
            "EXPERIMENTAL_PEER_SKIP_CLIENT_SAN_VERIFICATION": "true",
            # Without it a member that comes back from a cut deposes the healthy leader.
            "PRE_VOTE": "true",
            "HEARTBEAT_INTERVAL": HEARTBEAT * self.pace,
            "ELECTION_TIMEOUT": ELECTION * self.pace,
            "QUOTA_BACKEND_BYTES": self.quota,
            "AUTO_COMPACTION_MODE": "periodic",
            "AUTO_COMPACTION_RETENTION": RETENTION,
            "LOGGER": "zap",
            "LOG_LEVEL": "warn",
        }
        return "".join(f"ETCD_{name}={value}\n" for name, value in values.items())

    def _tls(self, side: str) -> dict[str, object]:
        return {
            f"{side}CERT_FILE": self.certificate,
            f"{side}KEY_FILE": self.key,
            f"{side}CLIENT_CERT_AUTH": "true",
            f"{side}TRUSTED_CA_FILE": self.bundle,
        }


def url(address: str, port: int) -> str:
    """Where a member of etcd answers."""
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"
