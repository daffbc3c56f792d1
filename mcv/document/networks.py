"""Networks of the cluster, and a VM's NICs in them."""

from typing import Annotated, Literal

from msgspec import Meta, field

from mcv.document.claim import Claim
from mcv.document.generation import Value
from mcv.document.hardware import WORD
from mcv.document.names import Name, PlainName

MOST_VLAN = 4094
MOST_MTU = 65535
LEAST_MTU = 576  # what every host of IPv4 takes

Vlan = Annotated[int, Meta(ge=0, le=MOST_VLAN)]  # 0 for none
Link = Literal["up", "down"]


class Network(Value, frozen=True, kw_only=True):
    """A name for a bridge that exists on every node.

    With `nat` mcvd makes it, as a network of libvirt's own: on each node its own. `on` names
    another bridge on some nodes. Guests' frames bear the tag `vlan` on the bridge, 0 for none;
    `mtu` is what guests are told, 0 where the bridge's own counts.
    """

    name: Name
    bridge: PlainName
    claim: Claim | None = None
    nat: bool = False
    vlan: Vlan = 0
    mtu: Annotated[int, Meta(ge=0, le=MOST_MTU)] = 0
    on: dict[Name, PlainName] = field(default_factory=dict)

    def bridge_on(self, node: str) -> str:
        """The bridge of this network on a node."""
        return self.on.get(node, self.bridge)


class Nic(Value, frozen=True, kw_only=True):
    """A VM's network card; `model` "" is virtio, `vlan` 0 the network's."""

    network: Name
    mac: str
    model: Annotated[str, Meta(pattern=rf"^({WORD})?\Z")] = ""
    vlan: Vlan = 0
    link: Link = "up"
