"""The command line's side of the wire: one call to this host's daemon, and jobs followed.

Imported by every command, so it imports little itself; the wire comes with the first call.
"""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcv import settings
from mcv.errors import CallLost, DaemonDown, NotPermitted, OutcomeOpen, PeerUnreachable

if TYPE_CHECKING:
    from mcv.rpc.client_connection import ClientConnection

HELLO_SECONDS = 2.5
TURN_SECONDS = 60
ANSWER_SECONDS = 30
PATIENCE_SECONDS = 15


@dataclass(frozen=True)
class Progress:
    """The progress of one part of a job: its name, the amount done, the total, the unit."""

    what: str
    done: float
    total: float
    unit: str
    note: str = ""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while a job was followed: the job goes on, and this says which it is."""

    def __init__(self, job: str, node: str) -> None:
        super().__init__()
        self.job = job
        self.node = node


class Client:
    """Talks to the daemon of this host.

    A daemon that has not greeted within `hello_timeout` seconds and lives is waited for, `turn`
    seconds in all, and `tell` is told so. The answer to a call has `timeout` seconds.
    """

    def __init__(
        self,
        socket_path: Path = settings.SOCKET,
        *,
        timeout: float = ANSWER_SECONDS,
        hello_timeout: float = HELLO_SECONDS,
        turn: float = TURN_SECONDS,
        patience: float = PATIENCE_SECONDS,
        tell: Callable[[str], None] = lambda text: None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._socket_path = socket_path
        self._timeout = timeout
        self._hello_timeout = hello_timeout
        self._turn = turn
        self._patience = patience
        self._tell = tell
        self._has_told = False
        self._environment = environment

    def call(self, operation: str, /, **params: Any) -> Any:
        """Ask for an operation and return its answer, or raise the error that it ended in.

        DaemonDown: it was surely not carried out. OutcomeOpen: mcvd took the call and
        did not answer it in time.
        """
        from mcv.rpc.client_connection import ConnectionLost

        line = self._connect()
        try:
            return line.call(operation, params, self._context(), self._timeout)
        except ConnectionLost as lost:
            if not lost.sent:
                raise _silent(lost.reason) from lost
            raise OutcomeOpen(
                f"mcvd gave no answer to {operation} ({lost.reason}); "
                "whether it was carried out is not known.",
                "See: mcv job list",
            ) from lost
        finally:
            line.close()

    def run(
        self,
        operation: str,
        /,
        *,
        progress: Callable[[Progress], None] | None = None,
        **params: Any,
    ) -> Any:
        """Like call; where the answer is a job, follow it to its end and return its result.

        Raises Interrupted, naming the job, when Ctrl-C comes while it is followed.
        """
        answer = self.call(operation, **params)
        if not (isinstance(answer, dict) and "job" in answer and "node" in answer):
            return answer
        return self.follow(answer["job"], answer["node"], progress)

    def follow(
        self,
        job: str,
        node: str,
        progress: Callable[[Progress], None] | None = None,
        through_stalls: bool = False,
    ) -> Any:
        """Watch a job until it has ended; return its result or raise the error it ended in.

        Raises OutcomeOpen for a job that stands still, unless it is to be waited for all the same.
        """
        from mcv.rpc.values import error_from_plain

        try:
            seen = 0
            while True:
                state = self._look_at(job, node, seen)
                seen = state["seen"]
                for part in state["progress"]:
                    if progress:
                        progress(Progress(**part))
                if state["state"] == "failed":
                    raise error_from_plain(state["error"] or {})
                if state["state"] == "done":
                    return state["result"]
                if state.get("stalled") and not through_stalls:
                    raise OutcomeOpen(
                        f"Job {job} is not over: {state['stalled']}.",
                        f"It goes on by itself. See: mcv job wait {job}",
                    )
        except KeyboardInterrupt:
            raise Interrupted(job, node) from None

    def _look_at(self, job: str, node: str, seen: int) -> dict[str, Any]:
        """What is new about a job; a daemon that is away may come back for some seconds."""
        end = time.monotonic() + self._patience
        while True:
            try:
                state: dict[str, Any] = self.call("job.follow", job=job, node=node, seen=seen)
                return state
            except (DaemonDown, OutcomeOpen, CallLost, PeerUnreachable) as error:
                if time.monotonic() >= end:
                    raise OutcomeOpen(
                        f"Job {job} is out of sight: {error.message}",
                        f"It may go on. See: mcv job wait {job}",
                    ) from error
                time.sleep(0.2)

    def _context(self) -> dict[str, str]:
        said = {
            "sudo_user": self._environment.get("SUDO_USER"),
            "sudo_uid": self._environment.get("SUDO_UID"),
        }
        return {key: value for key, value in said.items() if value is not None}

    def _connect(self) -> "ClientConnection":
        """A connection that mcvd has greeted; it waits in turn while mcvd has much to do."""
        from mcv.rpc.client_connection import ClientConnection, ConnectionLost

        end = time.monotonic() + max(self._turn, self._hello_timeout)
        sock = self._socket(end)
        overdue = _Overdue(sock, self._hello_timeout, self._waits)
        line = ClientConnection(sock, trusts=True)
        try:
            line.hello(end - time.monotonic())
        except ConnectionLost as lost:
            raise _silent("timed out" if overdue.has_given_up else lost.reason) from lost
        finally:
            overdue.cancel()
        return line

    def _socket(self, end: float) -> socket.socket:
        """A connected socket. Where so many wait that the kernel takes no more, wait too."""
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(self._hello_timeout)
            try:
                sock.connect(str(self._socket_path))
                return sock
            except BlockingIOError as error:
                sock.close()
                if time.monotonic() > end or not self._waits():
                    raise _silent("too many wait for it") from error
                time.sleep(0.2)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                sock.close()
                raise DaemonDown(
                    "mcvd does not run on this host.", "Start it with: systemctl start mcvd"
                ) from error
            except PermissionError as error:
                sock.close()
                raise NotPermitted("Only root may talk to mcvd.", "Try: sudo mcv") from error
            except OSError as error:
                sock.close()
                raise _silent(error.strerror or "timed out") from error

    def _waits(self) -> bool:
        """Whether a busy mcvd is waited for; tells so the first time."""
        if self._turn <= self._hello_timeout:
            return False
        if not self._has_told:
            self._has_told = True
            self._tell(f"mcvd has much to do on this host: waiting for it, up to {self._turn:g} s.")
        return True


class _Overdue(threading.Timer):
    """Looks at a daemon that has not greeted in time: a busy daemon is waited for.

    A daemon whose process was stopped greets nobody: the connection is given up.
    """

    def __init__(self, sock: socket.socket, seconds: float, waits: Callable[[], bool]) -> None:
        super().__init__(seconds, self._look)
        self._sock = sock.dup()
        self._ask_waits = waits
        self.has_given_up = False
        self.daemon = True
        self.start()

    def _look(self) -> None:
        if _is_stopped(self._sock) or not self._ask_waits():
            self.has_given_up = True
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def cancel(self) -> None:
        super().cancel()
        self.join()
        self._sock.close()


def _is_stopped(sock: socket.socket) -> bool:
    """Whether the process that listens at the other end was stopped by a signal."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid = struct.unpack("3i", credentials)[0]
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in ("T", "t")


def _silent(why: str) -> DaemonDown:
    return DaemonDown(
        f"mcvd does not answer on this host ({why}).", "Look at it with: systemctl status mcvd"
    )
