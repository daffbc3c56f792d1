"""Keys of members and replicas that a change removes: they go in the change's own transaction."""

import json

from mcv.consensus.etcd.door import Door
from mcv.document.model import Cluster
from mcv.etcd.requests import Compare, Operation, delete, unchanged

Traces = list[tuple[Compare | None, Operation]]


def traces(door: Door, base: Cluster, new: Cluster) -> Traces:
    """What is deleted with a change, each deletion with what has to hold for it.

    A removed member's lease goes. The mark of a stale replica goes where that replica was its,
    or where no disk has the resource any more: another member of that name, or another VM with
    it, would be taken for what is behind. Raises PeerUnreachable.
    """
    left = set(base.nodes) - set(new.nodes)
    gone = _resources(base) - _resources(new)
    found: Traces = [(None, delete(door.keys.lease(node))) for node in sorted(left)]
    for key in door.marks() if left or gone else ():
        resource = key.key.removeprefix(door.keys.marks).decode(errors="replace")
        if resource in gone or behind(key.value) in left:
            found.append((unchanged(key.key, key.mod_revision), delete(key.key)))
    return found


def _resources(cluster: Cluster) -> set[str]:
    return {disk.resource for _, disk in cluster.replicated()}


def behind(value: bytes) -> str:
    """The node whose replica a mark says to be behind; "" where that cannot be read."""
    text = value.decode(errors="replace")
    if not text.startswith("{"):
        return text
    try:
        return str(json.loads(text).get("node", ""))
    except ValueError:
        return ""
