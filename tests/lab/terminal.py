"""A node's prompt: every command is shown with what it says, as it says it."""

import subprocess
import threading

from tests.lab import LabError, Node


class Spoken:
    """A command that was typed: its lines are shown while it runs."""

    def __init__(self, node: Node, command: str) -> None:
        self.command = command
        self.text = ""
        self._node = node
        self._process = subprocess.Popen(
            node.ssh(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout: float = 120) -> int:
        """Its exit code, once it has ended and all that it said is shown."""
        self._reader.join(timeout)
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            raise LabError(
                f"{self._node.name}: `{self.command}` ran past {timeout:.0f} s."
            ) from error

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.text += line
            print(line, end="", flush=True)


class Terminal:
    """A root shell of a node."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def run(self, command: str, timeout: float = 120) -> tuple[int, str]:
        """Type a command and wait for its end; its exit code, and what it said."""
        spoken = self.start(command)
        return spoken.wait(timeout), spoken.text

    def start(self, command: str, note: str = "") -> Spoken:
        print(f"{self.node.name}{note}# {command}", flush=True)
        return Spoken(self.node, command)
