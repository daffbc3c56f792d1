"""Rows about being watched: what `mcv top` and `mcv events --follow` cost the daemons.

The nodes of the lab have no room for guests by the hundred, so two daemons run on this machine,
with real sockets, TLS and logs of events, and with guests that libvirt would tell of.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from mcv.commands import events, moments, top
from mcv.commands.events import Reader
from mcv.commands.session import Session
from mcv.rpc.client import Client
from tests.bench.row import Row
from tests.bench.stage import Stage

VMS = 100
ROUNDS = 10
TICK = os.sysconf("SC_CLK_TCK")
SHARE = 0.01  # of a core


def rows(_: Stage | None = None) -> list[Row]:
    """Processor time of both daemons together in a round, and one percent of a core's."""
    with tempfile.TemporaryDirectory() as directory:
        words = [sys.executable, "-m", "tests.bench.watched", directory, str(VMS)]
        daemons = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert daemons.stdout is not None and daemons.stdout.readline() == "ready\n"
            return _rows(daemons.pid, Path(directory) / "socket")
        finally:
            daemons.kill()
            daemons.communicate()


def _rows(pid: int, socket: Path) -> list[Row]:
    client = Client(socket, environment={})
    reader = Reader(Session(client), "event.list", since=moments.stamp(datetime.now(UTC)))
    watched: list[tuple[str, float, Callable[[], object]]] = [
        ("mcv top", top.AGAIN, lambda: client.call("top.show")),
        ("mcv events --follow", events.POLL, reader.all),
    ]
    return [
        Row(
            f"{command}, {VMS} VMs",
            f"Processor time of the daemons of two nodes in the {period:g} s between two looks of "
            f"`{command}`, and {SHARE:.0%} of a core's; the lab has no room for so many guests, so "
            "libvirt's answer is a fake.",
            ours=(_spent(pid, look, period),),
            reference=(SHARE * period,),
            bound=1,
        )
        for command, period, look in watched
    ]


def _spent(pid: int, look: Callable[[], object], period: float) -> float:
    """Seconds of processor time that a look costs, the mean of several: the first is left out."""
    look()
    before = _used(pid)
    for _ in range(ROUNDS):
        time.sleep(period)
        look()
    return (_used(pid) - before) / ROUNDS


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK
