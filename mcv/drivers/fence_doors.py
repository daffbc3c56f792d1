"""What a node switches other nodes off with: agents, the secrets for them, and what it has seen."""

import threading
from dataclasses import dataclass, field
from typing import Literal

from mcv.document.fencing import FenceDevice
from mcv.drivers.fence_agents import FenceAgents
from mcv.drivers.fence_secrets import FenceSecrets


@dataclass(frozen=True)
class Monitored:
    """This node's last look at a device; `failure` is "" where the device is well."""

    at: float  # monotonic
    device: FenceDevice
    failure: str = ""


@dataclass(frozen=True)
class FenceRun:
    """What has become of an order of the manager's: by which level, 0 where that is not known."""

    uid: str
    outcome: Literal["running", "off", "on", "failed"]
    message: str = ""
    level: int = 0


@dataclass
class FenceDoors:
    """Agents and secrets of this host; a restart of the daemon begins without the rest."""

    agents: FenceAgents
    secrets: FenceSecrets
    monitored: dict[str, Monitored] = field(default_factory=dict)  # by device
    runs: dict[str, FenceRun] = field(default_factory=dict)  # by node
    lock: threading.Lock = field(default_factory=threading.Lock)  # of runs
    took: dict[str, float] = field(default_factory=dict)  # s until off, by node, in a test
