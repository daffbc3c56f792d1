"""What a fault of the schedule is on real nodes, and how it is mended."""

from collections.abc import Callable
from contextlib import ExitStack, suppress

from tests.lab import LabError, Node
from tests.lab.cuts import deaf, unheard, without_replication
from tests.lab.ha.schedule import Fault, Kind
from tests.lab.lab import side_by_side
from tests.lab.power import Mode, Power

STOPPED = {Kind.STOP_MCVD: "mcvd", Kind.STOP_LEASE: "mcv-lease", Kind.STOP_ETCD: "mcv-etcd"}
KILLED = {Kind.KILL_MCVD: "mcvd", Kind.KILL_LEASE: "mcv-lease", Kind.KILL_ETCD: "mcv-etcd"}
GO_ON = "iptables-legacy -F; systemctl kill --kill-whom=main --signal=CONT mcvd mcv-lease mcv-etcd"


class Faults:
    """Begins and ends faults of nodes that may have died meanwhile."""

    def __init__(self, nodes: list[Node], power: Power) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._power = power
        self._ends: dict[Fault, Callable[[], object]] = {}

    def begin(self, fault: Fault) -> None:
        """Raises LabError where it is none any more: its node is off."""
        if fault.kind is Kind.DEVICE:
            self._set_device(Mode.HANG)
            self._ends[fault] = lambda: self._set_device(Mode.WELL)
            return
        node = self._nodes[fault.node]
        if not node.is_running:
            raise LabError(f"{node.name} is off.")
        self._ends[fault] = self._inflicted(fault.kind, node)

    def end(self, fault: Fault) -> None:
        """Raises LabError where there is nothing to end."""
        end = self._ends.pop(fault, None)
        if end is not None:
            end()

    def mend(self) -> None:
        """Whatever has begun is over, and every node is on."""
        for fault in list(self._ends):
            with suppress(LabError):
                self.end(fault)
        side_by_side(_mend, self._nodes.values())

    def _set_device(self, mode: Mode) -> None:
        for node in self._nodes.values():
            self._power.mode(str(node.number), mode)

    def _inflicted(self, kind: Kind, node: Node) -> Callable[[], object]:
        """Do it, and say what ends it."""
        if kind in KILLED:
            node.sigkill(KILLED[kind])
            return _nothing
        if kind in STOPPED:
            node.sigstop(STOPPED[kind])
            return lambda: node.sigcont(STOPPED[kind])
        match kind:
            case Kind.KILL:
                node.kill()
                return lambda: switch_on(node)
            case Kind.CUT:
                node.cut()
                return node.heal
            case Kind.FREEZE:
                node.freeze()
                return node.thaw
            case _:
                return self._cut_in_part(kind, node)

    def _cut_in_part(self, kind: Kind, node: Node) -> Callable[[], object]:
        others = [one for one in self._nodes.values() if one is not node and one.is_running]
        stack = ExitStack()
        match kind:
            case Kind.DEAF:
                stack.enter_context(deaf(node, others))
            case Kind.UNHEARD:
                stack.enter_context(unheard(node, others))
            case Kind.REPLICATION:
                stack.enter_context(without_replication(node))
            case _:
                raise ValueError(f"{kind} is no cut.")
        return stack.close


def _nothing() -> None:
    """It is over already."""


def switch_on(node: Node) -> None:
    """Have a node on; its fence device may do so at the same moment."""
    with suppress(LabError):
        if not node.is_running:
            node.power_on()


def _mend(node: Node) -> None:
    node.thaw()
    node.heal()
    switch_on(node)
    with suppress(LabError):  # of one that has just been switched on there is nothing to mend
        node.run(GO_ON, check=False, timeout=20)
