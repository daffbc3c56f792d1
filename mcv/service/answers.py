"""What operations on services answer."""

from typing import Literal

from msgspec import Struct

State = Literal["started", "stopped", "failed", "unknown"]


class ServiceState(Struct, frozen=True, kw_only=True):
    """A service after an operation. `wanted` is what the document has; `home` where it belongs."""

    name: str
    node: str
    state: str
    wanted: str
    home: str
    notes: list[str] = []


class ServiceMade(Struct, frozen=True, kw_only=True):
    """A service that is new. `notes` say where it could not be looked at."""

    name: str
    node: str
    address: str
    bridge: str
    units: list[str]
    scripts: list[str]
    domain: str
    notes: list[str]


class ServiceGone(Struct, frozen=True, kw_only=True):
    """The service that is deleted."""

    name: str


class ServiceSeen(Struct, frozen=True, kw_only=True):
    """A service as a node sees it: `failed` while a part of it does not run, and why."""

    name: str
    state: State
    problem: str = ""


class NodeFit(Struct, frozen=True, kw_only=True):
    """Why a node cannot run a service, and the digests of its scripts there, by path."""

    problems: list[str] = []
    digests: dict[str, str] = {}
