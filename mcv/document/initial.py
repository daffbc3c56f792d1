"""The first document of a host: a cluster of one."""

import os
import secrets

from mcv.document.generation import ChangeMade, Epoch, EpochNow
from mcv.document.model import Cluster, Node
from mcv.settings import Settings
from mcv.timestamps import timestamp


def alone(settings: Settings, certificate: str) -> Cluster:
    """A cluster of which this host is the only member; its name is the founder's."""
    epoch = secrets.token_hex(8)
    node = Node(
        name=settings.node,
        hostname=os.uname().nodename,
        ip_address=settings.address,
        drbd_address=settings.drbd_address,
        certificate=certificate,
    )
    return Cluster(
        name=settings.node,
        epoch=EpochNow(number=1, id=epoch),
        epochs=(Epoch(number=1, id=epoch, generation=0, hash=""),),
        generation=1,
        parent="",
        change=ChangeMade(
            id=secrets.token_hex(4),
            who="mcvd",
            when=timestamp(),
            why="first start",
            node=settings.node,
        ),
        nodes={settings.node: node},
    )
