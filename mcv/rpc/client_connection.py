"""One connection as its caller uses it: hello, then one call at a time."""

import select
import socket
import time
from typing import Any

from Pyro5 import protocol
from Pyro5.client import Proxy
from Pyro5.errors import CommunicationError

from mcv.errors import McvError
from mcv.rpc.limits import LARGE_ANSWERS, MAX_ANSWER, MAX_MESSAGE
from mcv.rpc.wire import OBJECT, Connection


class ConnectionLost(Exception):
    """No answer came. Unless `sent`, the other side cannot have carried anything out."""

    def __init__(self, reason: str, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class ClientConnection:
    """A proxy over a socket that is connected (and encrypted) already.

    Pyro's own switch for TLS is process-wide, and so its proxy is handed the connection.
    """

    def __init__(self, sock: socket.socket, trusts: bool = False) -> None:
        """`trusts`: the other side is this host's own daemon, whose answers may be large."""
        self._trusts = trusts
        self._connection = Connection(sock, expects=protocol.MSG_RESULT)
        # The address is never used: a line that is lost is thrown away.
        self._proxy = Proxy(f"PYRO:{OBJECT}@./u:/nowhere")
        self._proxy._pyroConnection = self._connection
        self.last_used = time.monotonic()

    def hello(self, timeout: float) -> None:
        """Ask for Pyro's metadata: an answer shows a daemon that works and takes our calls."""
        self._connection.allow(timeout)
        try:
            self._proxy._pyroGetMetadata()
        except Exception as error:
            self.close()
            raise ConnectionLost(str(error), sent=False) from error

    def call(
        self, operation: str, params: dict[str, Any], context: dict[str, Any], timeout: float
    ) -> Any:
        """Send a call and return its answer or raise its error; ConnectionLost without either."""
        self._proxy._pyroClaimOwnership()
        self._connection.allow(timeout)
        self._connection.sent = False
        self._connection.max_answer = (
            MAX_MESSAGE if self._trusts or operation in LARGE_ANSWERS else MAX_ANSWER
        )
        try:
            answer = self._proxy.call(operation, params, context)
        except McvError:
            raise
        except BaseException as error:
            sent = self._connection.sent
            self.close()
            if isinstance(error, CommunicationError) or (sent and isinstance(error, Exception)):
                raise ConnectionLost(str(error), sent) from error
            raise
        self.last_used = time.monotonic()
        return answer

    def is_quiet(self) -> bool:
        """Whether nothing has arrived: on an idle line that can only be its end."""
        poll = select.poll()
        try:
            poll.register(self._connection.sock, select.POLLIN)
            return not poll.poll(0)
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        self._connection.close()
