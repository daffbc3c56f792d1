"""A daemon's wire on real sockets: a unix socket, a port on 127.0.0.1, keys that are made anew."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcv.rpc import pki
from mcv.rpc.auth import Caller
from mcv.rpc.client import Client
from mcv.rpc.peers import Address, Peers
from mcv.rpc.pki import Identity
from mcv.rpc.server import Server
from mcv.rpc.tunnel import Target
from mcv.rpc.wire import Limits

SHORT = Limits(handshake=0.5, idle=2, message=2, peers=64, operators=64)


class Wire:
    """Node n1 serving; n2 a member that may call it. Operations are functions by name."""

    def __init__(
        self, directory: Path, limits: Limits = SHORT, target: Target | None = None
    ) -> None:
        self.directory = directory
        self.socket = directory / "run" / "mcvd.sock"
        self.calls: list[tuple[Caller, str, dict[str, Any], dict[str, Any]]] = []
        self.operations: dict[str, Callable[..., Any]] = {"say": lambda **params: params}
        self.identities = {name: self.identity(name) for name in ("n1", "n2")}
        self.members = {name: one.certificate_pem for name, one in self.identities.items()}
        self.opened: list[Peers] = []
        self.server = Server(
            self._handle, self.socket, allowed_uid=os.getuid(), limits=limits, target=target
        )
        self.server.start_operator()
        self.port = self.server.start_peers(
            "127.0.0.1", 0, self.identities["n1"], lambda: dict(self.members)
        )

    def _handle(
        self, caller: Caller, operation: str, params: dict[str, Any], context: dict[str, Any]
    ) -> Any:
        self.calls.append((caller, operation, params, context))
        return self.operations[operation](**params)

    def identity(self, name: str, folder: str = "") -> Identity:
        return pki.create(name, self.directory / (folder or name))

    def client(self, **settings: Any) -> Client:
        return Client(self.socket, **{"environment": {}, **settings})

    def peers(self, identity: Identity | None = None, expected: str = "", **settings: Any) -> Peers:
        """What n2 (or whoever is given) calls n1 with."""
        certificate = expected or self.identities["n1"].certificate_pem
        made = Peers(
            identity or self.identities["n2"],
            lambda _node: Address("127.0.0.1", self.port, certificate),
            **settings,
        )
        self.opened.append(made)
        return made

    def call(self, operation: str = "say", /, **params: Any) -> Any:
        """One call from n2 over a connection of its own."""
        return ask(self.peers(), operation, **params)

    def until(self, event: threading.Event) -> None:
        """Make the operation `wait` last until the event, and `begun` tell when it began."""
        self.begun = threading.Event()

        def wait() -> str:
            self.begun.set()
            event.wait(10)
            return "waited"

        self.operations["wait"] = wait

    def close(self) -> None:
        for one in self.opened:
            one.close()
        self.server.stop(grace=0)


def ask(peers: Peers, operation: str = "say", /, timeout: float = 5, **params: Any) -> Any:
    return peers.call("n1", operation, params=params, context={}, timeout=timeout)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    made = Wire(tmp_path)
    yield made
    made.close()


@pytest.fixture
def patient_wire(tmp_path: Path) -> Iterator[Wire]:
    """With the limits as they are installed."""
    made = Wire(tmp_path, Limits())
    yield made
    made.close()
