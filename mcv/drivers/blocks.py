"""The guest's bytes of disks: qemu-nbd serves them, qemu-img copies them."""

import json
import os
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

from mcv.document.disks import Format
from mcv.drivers import nbd
from mcv.drivers.nbd import Nbd
from mcv.errors import CommandFailed
from mcv.system import process

STARTING = 10.0  # s that qemu-nbd has to listen
POLL = 0.01
PART = re.compile(r"\(([0-9.]+)/100%\)")
Told = Callable[[float], None]  # the part that is done; may raise, which ends the copy


class Server:
    """A running qemu-nbd, for one client; it ends with the client, with `end`, or with mcvd."""

    def __init__(self, socket: Path, running: ExitStack) -> None:
        self.socket = socket
        self._running = running
        self._has_ended = False

    def end(self) -> None:
        """Kill the server and wait until it has closed the volume; harmless when it has ended.

        A later server may have the same socket by then.
        """
        if not self._has_ended:
            self._has_ended = True
            self._running.close()
            self.socket.unlink(missing_ok=True)


class Blocks:
    """Serves and copies volumes of this host. Every method raises CommandFailed."""

    def serve(self, path: str, format: Format, socket: Path, writable: bool) -> Server:
        """Serve a volume on a unix socket.

        A domain that has the volume open keeps a writer out: QEMU locks it. The server takes no
        part in the page cache, so that both sides of a copy see what is on the disk.
        """
        # qemu-nbd listens before it has opened the volume; its id is written afterwards.
        opened = socket.with_name(f"{socket.name}.pid")
        for stale in (socket, opened):
            stale.unlink(missing_ok=True)
        ways = ("--discard=unmap", "--detect-zeroes=unmap") if writable else ("--read-only",)
        command = (
            # Without its client's daemon nobody needs the server, and it keeps the volume open.
            *("setpriv", "--pdeathsig", "KILL", "qemu-nbd", f"--socket={socket}"),
            *(f"--pid-file={opened}", f"--format={format}", "--cache=none", *ways, path),
        )
        running = ExitStack()
        started = running.enter_context(process.lines(*command))
        until = time.monotonic() + STARTING
        while not opened.exists():
            if started.poll() is not None or time.monotonic() > until:
                running.close()
                raise CommandFailed(f"qemu-nbd does not serve {path}: is it in use?")
            time.sleep(POLL)
        opened.unlink()
        os.chmod(socket, 0o600)
        return Server(socket, running)

    def connect(self, socket: Path) -> AbstractContextManager[Nbd]:
        return closing(nbd.connect(socket))

    def convert(self, path: str, format: Format, socket: Path, told: Told) -> None:
        """Copy a volume to the server behind a socket, whose bytes must all be zeros, durably.

        The blocks are written in any order. Errors: CommandFailed, and what `told` raises.
        """
        kind = "host_device" if path.startswith("/dev/") else "file"
        source = {"driver": format, "file": {"driver": kind, "filename": path}}
        command = (
            *("qemu-img", "convert", "-p", "-n", "-W", "--target-is-zero"),
            *("-t", "none", "-T", "none", "-O", "raw"),
            *(f"json:{json.dumps(source)}", f"nbd+unix:///?socket={socket}"),
        )
        with (
            open(os.devnull, "rb") as null,
            process.piped(*command, stdin=null.fileno()) as printed,
        ):
            while said := os.read(printed.fileno(), 4096):
                if (part := done_of(said.decode(errors="replace"))) is not None:
                    told(part)


def done_of(said: str) -> float | None:
    """The part that is done by qemu-img's last word, as "    (12.34/100%)"; None without one."""
    words = PART.findall(said)
    return float(words[-1]) / 100 if words else None
