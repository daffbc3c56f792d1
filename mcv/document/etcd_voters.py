"""What the document says of etcd: who votes, where, and whom they know."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from mcv.document.model import Cluster
from mcv.etcd.gateway import Endpoint


class Voter(NamedTuple):
    """A member of etcd: a node of the cluster, or the witness."""

    name: str
    address: str
    certificate: str


def voters(cluster: Cluster) -> list[Voter]:
    """All that vote by the document, by name; none where the members agree unanimously."""
    if cluster.store is None:
        return []
    nodes = [cluster.nodes[name] for name in cluster.store.voters if name in cluster.nodes]
    found = [Voter(node.name, node.ip_address, node.etcd_certificate) for node in nodes]
    if (witness := cluster.witness) is not None:
        found.append(Voter(witness.name, witness.ip_address, witness.certificate))
    return sorted(found)


def endpoints(cluster: Cluster, port: int, first: str = "") -> list[Endpoint]:
    """Where the voters answer; the one named `first`, this node's own, before the others."""
    found = [Endpoint(voter.name, voter.address, port) for voter in voters(cluster)]
    return sorted(found, key=lambda endpoint: endpoint.name != first)


def bundle(cluster: Cluster) -> str:
    """The certificates that each voter trusts: those of all members and of the witness."""
    known = {node.name: node.etcd_certificate for node in cluster.nodes.values()}
    if cluster.witness is not None:
        known[cluster.witness.name] = cluster.witness.certificate
    return joined(known)


def joined(certificates: Mapping[str, str]) -> str:
    """Certificates by name as one text, always in the same order."""
    named = sorted(certificates.items())
    return "".join(text.strip() + "\n" for _, text in named if text)


def bundle_digest(cluster: Cluster) -> str:
    """By it the witness, and the document, tell whether it has the present bundle."""
    return digest_of(bundle(cluster))


def digest_of(bundle: str) -> str:
    """The digest of a bundle of certificates."""
    return hashlib.sha256(bundle.encode()).hexdigest()


def witness_lacks(cluster: Cluster) -> str:
    """What the witness has not been brought yet, in a sentence; "" where it has all."""
    witness = cluster.witness
    if cluster.store is None or witness is None or witness.bundle == bundle_digest(cluster):
        return ""
    return (
        f"{witness.name}, the witness, has not the certificates of all nodes yet: it refuses "
        "those that are new to it, and still serves those that were removed"
    )


def has_quorum(answering: int, all_: int) -> bool:
    """Whether so many of the voters are a majority."""
    return 2 * answering > all_


def refusal_of_fewer(cluster: Cluster, leaving: str) -> str:
    """Why a member may not leave etcd, "" where it may: of two voters both would be needed."""
    left = [voter.name for voter in voters(cluster) if voter.name != leaving]
    if cluster.store is None or leaving not in cluster.store.voters or len(left) >= 3:
        return ""
    return (
        f"Without {leaving} etcd has {len(left)} voters, {' and '.join(left)}, and both would be "
        "needed for each change."
    )
