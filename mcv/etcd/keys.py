"""Where a cluster's keys lie in etcd."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterKeys:
    """The keys of the cluster whose document says this id."""

    id: str

    @property
    def prefix(self) -> bytes:
        return f"/mcv/{self.id}/".encode()

    @property
    def head(self) -> bytes:
        """Which document is the newest."""
        return self.prefix + b"head"

    def body(self, hash_: str) -> bytes:
        """The text of the document with this hash."""
        return self.prefix + f"body/{hash_}".encode()

    @property
    def leases(self) -> bytes:
        return self.prefix + b"lease/"

    def lease(self, node: str) -> bytes:
        """The node's right to run guests."""
        return self.leases + node.encode()

    @property
    def manager(self) -> bytes:
        """Who decides for high availability, and in which term."""
        return self.leases + b"manager"

    @property
    def marks(self) -> bytes:
        return self.prefix + b"stale/"

    def stale(self, resource: str) -> bytes:
        """The node whose replica of the resource is behind."""
        return self.marks + resource.encode()

    @property
    def status(self) -> bytes:
        """What the manager of high availability has decided."""
        return self.prefix + b"ha/status"
