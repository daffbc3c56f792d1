"""What the document says of etcd: who votes, where, and whom they know."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from mcv.document.model import Cluster
from mcv.etcd.gateway import Endpoint
from mcv.printable import names

FOR_GOOD = "Gone for good? mcv cluster store unanimous --confirm-dead N..."


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


class Terms(NamedTuple):
    """What every voter runs by: all that vote, whom they trust, and how patient they are.

    `cluster` is the id below which the document lies, `bundle` the certificates that are trusted
    of peers and of clients.
    """

    cluster: str
    voters: tuple[Voter, ...]
    bundle: str
    pace: int


def terms(cluster: Cluster, leaving: str = "", certificate: str = "") -> Terms:
    """What the voters run by, as the document says it.

    Without the certificates of a member that is leaving, and with one that a member is about to
    show. Precondition: the document lies in etcd.
    """
    assert cluster.store is not None
    trusted = bundle(cluster, leaving, certificate)
    return Terms(cluster.store.id, tuple(voters(cluster)), trusted, cluster.ha.pace)


def endpoints(cluster: Cluster, port: int, first: str = "") -> list[Endpoint]:
    """Where the voters answer; the one named `first`, this node's own, before the others."""
    found = [Endpoint(voter.name, voter.address, port) for voter in voters(cluster)]
    return sorted(found, key=lambda endpoint: endpoint.name != first)


def bundle(cluster: Cluster, leaving: str = "", certificate: str = "") -> str:
    """The certificates that each voter trusts: those of all members and of the witness.

    A member has two: it shows its own as a client, whatever its address, and the second one, for
    its address, as a voter. Without those of a member that is leaving, and with one more.
    """
    return joined(
        [
            *(node.certificate for node in cluster.nodes.values() if node.name != leaving),
            *(node.etcd_certificate for node in cluster.nodes.values() if node.name != leaving),
            cluster.witness.certificate if cluster.witness is not None else "",
            certificate,
        ]
    )


def joined(certificates: Sequence[str]) -> str:
    """Certificates as one text, the same for the same ones in any order."""
    return "".join(f"{text}\n" for text in sorted({each.strip() for each in certificates}) if text)


def bundle_digest(cluster: Cluster) -> str:
    """By it the witness, and the document, tell whether it has the present bundle."""
    return brought(bundle(cluster), cluster.ha.pace)


def brought(bundle: str, pace: int) -> str:
    """The digest of what a witness is brought: certificates, and how patient etcd is."""
    text = bundle if pace == 1 else f"{bundle}pace {pace}\n"
    return hashlib.sha256(text.encode()).hexdigest()


def witness_lacks(cluster: Cluster) -> str:
    """What the witness has not been brought yet, in a sentence; "" where it has all."""
    witness = cluster.witness
    if cluster.store is None or witness is None or witness.bundle == bundle_digest(cluster):
        return ""
    return (
        f"{witness.name}, the witness, has not the certificates of all nodes yet, or the pace: it "
        "refuses those that are new to it, and still serves those that were removed"
    )


def has_quorum(answering: int, all_: int) -> bool:
    """Whether so many of the voters are a majority."""
    return 2 * answering > all_


def needed_of(voters: int) -> str:
    """How many of the voters have to answer, in words."""
    return f"{voters // 2 + 1} of {voters} are needed"


def too_few(voters: int, silent: Sequence[str]) -> str:
    """That there is no majority, and who is missing."""
    verb = "does" if len(silent) == 1 else "do"
    return f"{needed_of(voters)}, {names(silent)} {verb} not answer"


def refusal_of_fewer(cluster: Cluster, leaving: str) -> str:
    """Why a member may not leave etcd, "" where it may: of two voters both would be needed."""
    left = [voter.name for voter in voters(cluster) if voter.name != leaving]
    if cluster.store is None or leaving not in cluster.store.voters or len(left) >= 3:
        return ""
    return (
        f"Without {leaving} etcd has {len(left)} voters, {names(left)}, and both would be "
        "needed for each change."
    )
