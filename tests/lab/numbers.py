"""What a guest that writes numbered blocks was told is written, and what a copy has of it."""

import re
import subprocess
import threading
from pathlib import Path

from tests.lab import Node, reality
from tests.lab.linux_guest import BLOCK, BLOCKS, FIRST_BLOCK

LOG = "/var/log/libvirt/console/{}.log"
# The guest's shell writes its prompt to the same line.
SAID = re.compile(r"(Written|Found|Failed) (\d+)\b")
READER = Path(__file__).with_name("read_numbers.py")


class Acknowledged:
    """The numbers that a guest has said on its serial line, heard as it says them.

    A node that dies takes its log along: what was heard before is known here. Each node that the
    guest may run on is listened to, from when this begins until `close`.
    """

    def __init__(self, name: str, nodes: list[Node]) -> None:
        self.numbers: dict[int, str] = {}  # to the node that it ran on
        self.found: list[tuple[str, int]] = []  # node, what the guest found at its beginning
        self.failed: list[str] = []
        self._file = LOG.format(name)
        self._listening: dict[str, subprocess.Popen[str]] = {}
        for node in nodes:
            self.listen(node)

    def listen(self, node: Node) -> None:
        """Listen to a node; to be called anew for one that has been booted."""
        before = self._listening.pop(node.name, None)
        if before is not None:
            before.kill()
        # From the end: what stands there was said before.
        process = node.start(f"exec tail -n 0 -F {self._file} 2> /dev/null")
        self._listening[node.name] = process
        threading.Thread(target=self._hear, args=(node.name, process), daemon=True).start()

    def close(self) -> None:
        for process in self._listening.values():
            process.kill()
            process.wait()

    @property
    def last(self) -> int:
        return max(self.numbers, default=0)

    def _hear(self, node: str, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            told = SAID.search(line)
            if told is None:
                continue
            word, number = told[1], int(told[2])
            if word == "Written":
                self.numbers[number] = node
            elif word == "Found":
                self.found.append((node, number))
            else:
                self.failed.append(line)


def on_disk(node: Node, resource: str) -> list[int]:
    """The number in each of the blocks of a resource, read past all caches on a node.

    A block that was written in part counts as the older one.
    """
    node.put(READER.read_bytes(), "/root/read_numbers.py")
    device = reality.device(node, resource)
    told = node.run(
        f"/usr/bin/python3 /root/read_numbers.py {device} {FIRST_BLOCK} {BLOCKS} {BLOCK}"
    )
    return [int(word) for word in told.stdout.split()]


def missing(acknowledged: set[int], blocks: list[int]) -> list[int]:
    """The acknowledged numbers that a copy lacks.

    Number n stands in the block n % BLOCKS until n + BLOCKS does.
    """
    return sorted(
        number
        for number in acknowledged
        if blocks[number % BLOCKS] < number or (blocks[number % BLOCKS] - number) % BLOCKS
    )
