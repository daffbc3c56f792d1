"""What a start needs on an armed node: the newest document, and etcd to ask under the lease."""

from pathlib import Path

from mcv.consensus.protocol import Consensus
from mcv.etcd.client import Keyspace
from mcv.ha.start_env import NodeStartEnv


def of(me: str, run: Path, consensus: Consensus, etcd: Keyspace) -> NodeStartEnv | None:
    """The environment of one start, the newest document read; None where nothing is armed.

    Raises Refused, or Diverged, where this node cannot know the newest document.
    """
    document = consensus.document()
    if document.store is None or not document.ha.armed:
        return None
    consensus.require_right()
    cluster = document.store.id
    return NodeStartEnv(me, run, etcd, cluster, lambda: consensus.committed()[1])
