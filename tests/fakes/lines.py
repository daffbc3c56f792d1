"""Lines to guests between nodes of one process: the real tunnel, without the TLS."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from mcv.errors import McvError, PeerUnreachable
from mcv.rpc import tunnel
from mcv.rpc.tunnel import Granted

Target = Callable[[str, str, tunnel.Asked], Granted]  # (node, member, purpose)


def led(
    me: str, target: Target, is_down: Callable[[str], bool]
) -> Callable[..., contextlib.AbstractContextManager[None]]:
    """What a node leads a line to another node with."""

    def reach(node: str, asked: tunnel.Asked) -> Any:
        if is_down(node):
            raise PeerUnreachable(f"{node} does not answer.")
        ours, theirs = socket.socketpair()
        threading.Thread(target=serve, args=(theirs, node), daemon=True).start()
        tunnel.ask(cast(Any, ours), asked)
        return ours

    def serve(sock: socket.socket, node: str) -> None:
        with sock, contextlib.suppress(McvError, OSError):
            tunnel.serve(cast(Any, sock), me, lambda member, asked: target(node, member, asked))

    @contextlib.contextmanager
    def opened(
        path: Path, node: str, asked: tunnel.Asked, ended: Callable[[], None]
    ) -> Iterator[None]:
        with tunnel.tunnel(path, node, asked, reach, ended):
            yield

    return opened
