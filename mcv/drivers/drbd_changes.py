"""What happens to any resource of this host, as it happens: somebody looks then at what is."""

import contextlib
import os
import select
import time
from collections.abc import Iterator

from mcv.drivers.drbd_tools import Stream, Tools

PIECE = 64 * 1024


class Watch:
    """A stream of the kernel's events."""

    def __init__(self, stream: Stream | None) -> None:
        self._fd = stream.stdout.fileno() if stream is not None and stream.stdout else None

    def wait(self, seconds: float) -> None:
        """Return when something happens to a resource, or when the seconds are over."""
        if self._fd is None:
            time.sleep(seconds)
            return
        if select.select([self._fd], [], [], seconds)[0] and not os.read(self._fd, PIECE):
            self._fd = None  # the stream has ended


class Changes:
    """The events of this host's resources."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @contextlib.contextmanager
    def followed(self, seconds: int) -> Iterator[Watch]:
        """Follow all resources, at most so long; without the module there is nothing to follow.

        A daemon that is killed leaves the command behind, which ends by itself then.
        """
        if not self._tools.is_loaded:
            yield Watch(None)
            return
        with self._tools.follow("timeout", str(seconds), "drbdsetup", "events2") as stream:
            yield Watch(stream)
