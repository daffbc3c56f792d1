"""Networks of the cluster, and a VM's NICs in them."""

import re
import zlib
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

# A bridge that mcvd makes for the frames of one VLAN of a bridge, and its port there.
TAGGED = re.compile(r"mcv-(\d{1,4})-([0-9a-f]{6})")


def tagged_bridge(bridge: str, vlan: int) -> str:
    """The name of the bridge for a VLAN of a bridge: at most 15 characters, the same everywhere."""
    return f"mcv-{vlan}-{zlib.crc32(bridge.encode()) & 0xFFFFFF:06x}"


def tagged_port(name: str) -> str:
    """The name of the VLAN device that is the port of such a bridge."""
    return name.replace("mcv-", "mcvt", 1)


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

    @property
    def bridges(self) -> list[str]:
        """Every bridge that the network has on some node."""
        return sorted({self.bridge, *self.on.values()})


class Nic(Value, frozen=True, kw_only=True):
    """A VM's network card; `model` "" is virtio, `vlan` 0 the network's."""

    network: Name
    mac: str
    model: Annotated[str, Meta(pattern=rf"^({WORD})?\Z")] = ""
    vlan: Vlan = 0
    link: Link = "up"

    def tag_in(self, network: Network) -> int:
        """The VLAN that the card is in, 0 for none."""
        return self.vlan or network.vlan

    def bridge_in(self, network: Network, node: str) -> str:
        """The bridge that the card is connected to on a node."""
        bridge, vlan = network.bridge_on(node), self.tag_in(network)
        return tagged_bridge(bridge, vlan) if vlan else bridge
