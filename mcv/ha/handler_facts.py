"""What mcvd keeps beside config.json for the fence-peer handler of an armed node: one small file.

It is read with the standard library alone. mcvd writes it after each commit; the hash of the
document stands in it, so the handler sees where it is old.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mcv.ha.plain_etcd import Voter

FILE = "handler.json"


@dataclass(frozen=True)
class Resource:
    """What the document says of one resource of this node.

    `is_managed`: high availability looks after its guest.
    """

    owner: str
    peer: str
    peer_is_offline: bool
    is_managed: bool = False


@dataclass(frozen=True)
class HandlerFacts:
    """The file: the node, the document's hash, the way to etcd, and the resources by name.

    `is_pair`: the node is armed as one of two without leases, which have no etcd. `alone` are
    silent nodes without which managed guests of this node go on.
    """

    node: str
    is_armed: bool
    is_online: bool
    waits: bool  # the policy: the owner waits for a peer that is online
    head: str
    prefix: str  # of the cluster's keys in etcd
    certificate: str  # path of this node's certificate for etcd
    key: str  # path of its key
    run: str
    port: int  # of the members' daemons
    voters: tuple[Voter, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)  # of the members
    resources: Mapping[str, Resource] = field(default_factory=dict)
    is_pair: bool = False
    alone: tuple[str, ...] = ()

    def decides(self, resource: str) -> bool:
        """Whether what armed nodes do counts for a resource, and not the policy on-peer-loss."""
        known = self.resources.get(resource)
        return self.is_armed and (not self.is_pair or (known is not None and known.is_managed))


def text_of(facts: HandlerFacts) -> str:
    return json.dumps(asdict(facts), sort_keys=True)


def read(state: Path) -> HandlerFacts | None:
    """What mcvd has written; None where there is no file. Raises OSError, or ValueError."""
    try:
        found = json.loads((state / FILE).read_bytes())
    except FileNotFoundError:
        return None
    try:
        voters = tuple(Voter(**voter) for voter in found.pop("voters"))
        resources = {name: Resource(**each) for name, each in found.pop("resources").items()}
        alone = tuple(found.pop("alone", ()))
        return HandlerFacts(**found, voters=voters, resources=resources, alone=alone)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{state / FILE}: {error!r}") from error
