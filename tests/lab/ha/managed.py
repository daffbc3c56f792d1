"""web1 as high availability manages it, and a tested plug for each node, kept between tests."""

import time
from collections.abc import Callable
from typing import NamedTuple

from tests.lab import LabError, Node, reality, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.ha.fenced import give_agents
from tests.lab.ha.trio import RESOURCE, VM, Observed, Trio
from tests.lab.power import PASSWORD, SERVICE, Mode, Power

DEVICE, SECRET = "strip", "/root/strip.pw"
# What a test before has used up counts no more in the next one.
LIMITS = "--max-restarts 3 --max-relocates 3 --window 60"
START = 25.0  # s of a guest's start in a busy lab
FENCED = 25.0 + START  # s from a death to a guest that runs elsewhere: by its plug
BY_LEASE = 35.0 + START  # and by its lease alone
OFFICE = 40.0  # s in which another node holds the office of a manager that is gone


class Managed(NamedTuple):
    """The cluster of three, armed, with web1 managed, and the power service."""

    trio: Trio
    power: Power

    def make(self) -> None:
        """Have it so; what is so already is left as it is."""
        self.trio.make_armed()
        lacking = [node for node in self.trio.nodes if self.plugs(node) != [(DEVICE, True)]]
        if lacking:
            self._plug_in(lacking)
        mcv(self.trio.nodes[0], f"ha add {VM} {LIMITS} --state started")
        wait_until(lambda: manager(self.trio.nodes[0]), OFFICE, "a manager")

    def leave(self) -> None:
        """What befell the nodes and their power is over, and web1 is managed no more."""
        for node in self.trio.nodes:
            self.power.mode(str(node.number), Mode.WELL)
        self.power.delays.clear()
        for node in self.trio.nodes:
            self.back(node)
        one, *_ = self.trio.in_roles()
        wait_until(lambda: reality.domain(one, VM) == "running", 120, f"{VM} to run")
        mcv(one, f"ha remove {VM}")

    def back(self, node: Node) -> None:
        """A node is on, by whomever, and all is in step."""
        try:
            if not node.is_running:
                node.power_on()
        except LabError:
            pass  # its fence device was faster
        node.thaw()
        node.heal()
        node.wait()
        self.trio.come_back(node)

    def plugs(self, node: Node) -> list[tuple[str, bool]]:
        """The devices of a node's plugs, and whether each counts as tested; by the document."""
        asked = self.trio.others(node)[0]
        levels = reality.document(asked)["nodes"][node.name].get("levels", [])
        return [(plug["device"], bool(plug.get("tested"))) for level in levels for plug in level]

    def _plug_in(self, lacking: list[Node]) -> None:
        """Test plugs while nothing is managed, and no guest runs."""
        one, *_ = self.trio.in_roles()
        one.run(f"mcv ha remove {VM}", check=False)
        mcv(one, f"stop {VM}")
        give_agents(self.trio.nodes)
        if DEVICE not in reality.document(one).get("fence_devices", {}):
            one.put(f"{PASSWORD}\n", SECRET)
            where = f"ip={SERVICE} ipport={self.power.port} username=root"
            mcv(one, f"fence device add {DEVICE} --agent fence_lab {where} --secret-file {SECRET}")
        for node in lacking:
            mcv(one, f"fence set {node.name} --level 1 {DEVICE}:{node.number}")
            self.try_plugs(node)
        mcv(one, f"start {VM}", timeout=180)
        wait_until(lambda: reality.is_in_step(one, RESOURCE), 90, "both replicas to be in step")

    def try_plugs(self, node: Node) -> None:
        """Have a node switched off and on by each of its levels."""
        asked = self.trio.others(node)[0]
        mcv(asked, f"fence test {node.name} --off --yes", timeout=600)
        self.trio.come_back(node)

    def offs(self, node: Node) -> int:
        """How often the power service was asked to switch a node off."""
        return self.power.actions(str(node.number)).count("off")


def manager(asked: Node) -> str:
    """The node that decides, as another one tells; "" while nobody does."""
    return str(told(asked, "ha status")["manager"] or "")


def have_manager_elsewhere(managed: Managed, node: Node) -> Node:
    """The node that decides, which is another one than this from now on."""
    asked = managed.trio.others(node)[0]
    if manager(asked) in (node.name, ""):
        node.sigstop("mcvd")
        wait_until(lambda: manager(asked) not in (node.name, ""), OFFICE, "another manager")
        node.sigcont("mcvd")
    name = manager(asked)
    return next(one for one in managed.trio.nodes if one.name == name)


def evidence(asked: Node, node: Node) -> str:
    """The evidence by which a node is offline, by the document on another one's disk."""
    found = reality.document(asked)["nodes"][node.name].get("evidence")
    return str(found["kind"]) if found else ""


def await_takeover(seen: Observed, dead: Node, target: Node, timeout: float) -> float:
    """Wait until the guest runs on the target by nobody's word, and writes; seconds until it ran.

    What it was told is written is there, and it ran once.
    """
    began = time.monotonic()
    wait_until(
        lambda: reality.domain(target, VM) == "running",
        timeout,
        f"{VM} to run on {target.name} after {dead.name} is gone",
    )
    took = time.monotonic() - began
    seen.wait_for_writes(target, number=5)
    seen.require_nothing_lost(target)
    return took


def await_soon(is_so: Callable[[], object], timeout: float, what: str) -> None:
    """As wait_until, for what lasts no longer than a moment."""
    until = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < until, f"waited {timeout:.0f} s for {what}"
        time.sleep(0.05)
