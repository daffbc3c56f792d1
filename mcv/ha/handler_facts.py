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
    """What the document says of one resource of this node."""

    owner: str
    peer: str
    peer_is_offline: bool


@dataclass(frozen=True)
class HandlerFacts:
    """The file: the node, the document's hash, the way to etcd, and the resources by name."""

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
        return HandlerFacts(**found, voters=voters, resources=resources)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{state / FILE}: {error!r}") from error
