"""Machines of the lab are booted when a magic packet for their card is on the wire."""

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.lab.power import Machine

EARS = Path(__file__).with_name("magic_ears.py")


class WakeOnLan:
    """As a context: what a card does whose host is off; `machines` by the MAC of their card.

    The program that listens may run in a network namespace.
    """

    def __init__(
        self,
        machines: Mapping[str, Machine],
        device: str = "br0",
        within: Sequence[str] = (),
        ears: Sequence[str] = (sys.executable, str(EARS)),
    ) -> None:
        self.heard: list[str] = []  # MACs, in order
        self._machines = dict(machines)
        self._command = [*within, *ears, device]
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdout=pipe, text=True, bufsize=1)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listens\n"
        self._thread = threading.Thread(target=self._hear, args=(self._process,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None and self._thread is not None
        self._process.kill()
        self._process.wait()
        self._thread.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _hear(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            mac = line.strip()
            self.heard.append(mac)
            machine = self._machines.get(mac)
            if machine is not None and not machine.is_on():
                machine.switch_on()
