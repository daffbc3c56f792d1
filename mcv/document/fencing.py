"""Fence devices, and the plugs that each node hangs on. No secret is in the document."""

from typing import Annotated

from msgspec import Meta, field

from mcv.document.generation import Value
from mcv.document.names import Name

MOST_LEVELS = 8
MOST_PLUGS = 8  # of one level

# An agent reads its parameters as lines of `key=value`: neither holds an end of line.
Agent = Annotated[str, Meta(pattern=r"^fence_[a-z0-9_]+\Z", max_length=64)]
Parameter = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z", max_length=64)]
ParameterValue = Annotated[
    str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", max_length=1000)
]
Port = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", max_length=255)]
SecretId = Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")]
Mac = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")]


class FenceDevice(Value, frozen=True, kw_only=True):
    """What a fence agent is told of a device; `secrets` are parameters that nodes keep apart.

    `secret_id` is the random name under which they do: another set has another one.
    """

    agent: Agent
    parameters: dict[Parameter, ParameterValue] = field(default_factory=dict)
    secrets: tuple[Parameter, ...] = ()
    secret_id: SecretId = ""


class Plug(Value, frozen=True, kw_only=True):
    """A device, and where a node hangs on it.

    `tested` is when it last switched that very node off in a test, "" for never since it was
    changed; `seconds` is how long off and the status after it took then.
    """

    device: Name
    port: Port = ""
    tested: str = ""
    seconds: Annotated[int, Meta(ge=0)] = 0


Level = Annotated[tuple[Plug, ...], Meta(min_length=1, max_length=MOST_PLUGS)]
Levels = Annotated[tuple[Level, ...], Meta(max_length=MOST_LEVELS)]  # in the order of trial
