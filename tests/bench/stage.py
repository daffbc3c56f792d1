"""Two nodes as one cluster, and clocks on them: what the rows are measured with."""

import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from tests.lab import Lab, LabError, Node, cluster, reality, wait_until
from tests.lab.lab import side_by_side

INSIDE = Path(__file__).parent / "inside.py"
PYTHON = "/opt/mcv/bin/python3 -I"
PATIENCE = 600.0

# libvirt listens on the cluster's network, for the migrations by hand alone: the lightest
# transport that there is. Only a libvirtd that does not run can be given that socket.
LISTEN = """
    echo 'auth_tcp = "none"' >> /etc/libvirt/libvirtd.conf
    systemctl stop libvirtd.service 2> /dev/null
    systemctl start libvirtd-tcp.socket libvirtd.service
"""


class Stage:
    """The nodes, joined, and what is asked of them by every group of rows."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.node1, self.node2 = self.nodes = lab.up(2)
        self.clean()
        side_by_side(lambda node: node.run(LISTEN), self.nodes)

    def clean(self) -> None:
        """Begin again with an empty cluster."""
        side_by_side(cluster.reset, self.nodes)
        cluster.join(self.nodes)
        for node in self.nodes:
            node.put(INSIDE.read_bytes(), "/root/inside.py")

    def spent(self, node: Node, command: str) -> float:
        """Seconds that a command takes, by the clock of its node."""
        script = (
            f"began=$EPOCHREALTIME; {{ {command}\n}} > /dev/null < /dev/null; code=$?; "
            "echo $began $EPOCHREALTIME; exit $code"
        )
        began, ended = node.run(f"bash -c {shlex.quote(script)}", timeout=PATIENCE).stdout.split()
        return float(ended) - float(began)

    def spent_on_both(self, command: str) -> float:
        """Seconds that a command takes on both nodes side by side: on the slower one."""
        return max(side_by_side(lambda node: self.spent(node, command), self.nodes))

    def inside(self, node: Node, words: str) -> str:
        """Run inside.py on a node, under mcv's own Python; what it prints."""
        return node.run(f"{PYTHON} /root/inside.py {words}", timeout=PATIENCE).stdout

    def create(self, name: str, options: str, image: bytes | None = None) -> None:
        cluster.create(self.node1, name, options, image=image, disk="256MiB")

    def delete(self, name: str) -> None:
        cluster.mcv(self.node1, f"delete {name} --yes", timeout=PATIENCE)

    def wait_until_well(self, resource: str) -> None:
        for node in self.nodes:
            wait_until(partial(_is_well, node, resource), PATIENCE, "the replicas to be alike")

    @contextmanager
    def by_hand(self) -> Iterator[None]:
        """Let both daemons stand still, so that none looks after what is done by hand."""
        for node in self.nodes:
            node.sigstop()
        try:
            yield
        finally:
            for node in self.nodes:
                node.sigcont()
            self.wait_until_in_touch()

    def wait_until_in_touch(self) -> None:
        for node in self.nodes:
            wait_until(partial(_in_touch, node), 120, f"{node.name} to be in contact")

    def work_of_the_kernel(
        self, resource: str, begin: Callable[[], object], at_most: float = PATIENCE
    ) -> float:
        """Seconds from the beginning of a verification or a resync to its end, by DRBD's events.

        One that takes longer than `at_most` is left as it is, and that many seconds are said.
        """
        command = f"timeout {at_most:.0f} drbdsetup events2 --timestamps --statistics {resource}"
        process = self.node1.start(command)
        assert process.stdout is not None
        began = None
        with ThreadPoolExecutor(1) as pool:
            beginning = None
            for line in process.stdout:
                if " exists -" in line:
                    beginning = pool.submit(begin)
                state = _replication(line)
                if began is None and state in WORKING:
                    began = _when(line)
                elif began is not None and state == "Established":
                    process.kill()
                    process.communicate()
                    return (_when(line) - began).total_seconds()
            if beginning is not None:
                beginning.result()
        process.communicate()
        if began is None:
            raise LabError(f"DRBD did not begin to work on {resource}.")
        return at_most


WORKING = {"VerifyS", "SyncSource"}


def _replication(line: str) -> str:
    words = (word.partition(":") for word in line.split())
    return next((value for key, _, value in words if key == "replication"), "")


def _when(line: str) -> datetime:
    return datetime.fromisoformat(line.split()[0])


def _is_well(node: Node, resource: str) -> bool:
    view = reality.drbd(node, resource)
    return view is not None and view.is_well and view.replication == "Established"


def _in_touch(node: Node) -> bool:
    try:
        return all(one["status"] == "online" for one in cluster.told(node, "info")["nodes"])
    except (AssertionError, LabError):
        return False
