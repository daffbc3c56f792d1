"""Verifications and the rate of resyncs: begun, stopped, and followed by their events."""

import contextlib
from collections.abc import Iterator
from itertools import chain

from mcv.drivers import drbd_status
from mcv.drivers.drbd_module import Module
from mcv.drivers.drbd_status import Event
from mcv.drivers.drbd_tools import Stream, Tools
from mcv.errors import CommandFailed


class Verification:
    """DRBD compares both replicas of a resource while they are in use."""

    def __init__(self, tools: Tools, module: Module) -> None:
        self._tools = tools
        self._module = module

    def start(self, resource: str) -> None:
        """Begin to compare both replicas, from the first block on; open `events` first, to see
        how it ends.

        Unless told where to begin DRBD goes on where the last one was interrupted, and would
        call clean what nobody has compared.
        """
        self._tools.adm("--", "--start=0", "verify", resource)

    def stop(self, resource: str) -> None:
        """End a verification where it is, with the connection as it was; harmless without one.

        The kernel takes the new end over although one is under way; the events tell when it
        has stopped, in the words of one that came to its end.
        """
        command = ("drbdadm", "--", "--start=0", "--stop=8", "verify", resource)
        self._tools.until(lambda now: now is None or not now.is_verifying, resource, *command)

    def set_rate(self, resource: str, rate: int) -> None:
        """Let resync and verification move so many bytes a second until the next `adjust`."""
        verb = "peer-device-options" if self._module.generation() >= 9 else "disk-options"
        self._tools.adm(verb, f"--resync-rate={max(1, rate // 1024)}K", resource)

    @contextlib.contextmanager
    def events(self, resource: str) -> Iterator[Iterator[Event]]:
        """Follow a resource: first all that exists, then what happens, as it happens.

        Once the context is entered nothing is missed any more. The iterator ends when
        the stream is lost, or a part of it: what happens from then on is not known.
        """
        command = ("drbdsetup", "events2", "--statistics", resource)
        with self._tools.follow(*command) as process:
            stream = _read(process)
            dump: list[Event] = []
            for event in stream:
                dump.append(event)
                if event.ends_the_dump:
                    break
            else:
                raise CommandFailed(f"`{' '.join(command)}` ended at once.")
            yield chain(dump, stream)


def _read(process: Stream) -> Iterator[Event]:
    assert process.stdout is not None
    for line in process.stdout:
        event = drbd_status.parse_event(line)
        if event is None:
            continue
        if event.verb == "lost":
            return
        yield event
