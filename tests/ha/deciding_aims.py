"""Faults that are aimed at what a manager decides."""

from mcv.ha import values
from mcv.ha.env import Txn
from mcv.rules.ha import status
from tests.ha.aims import Aim
from tests.ha.world import Node


class HeldUp(Aim):
    """The manager hangs after it has written that it fences; the owner is back meanwhile."""

    def begin(self) -> None:
        self.world.at(1.0, self._look)

    def _look(self) -> None:
        self.world.at(1.0, self._look)
        if self.is_ready and self.is_well:
            self.strike(self.owner(), quick=True)
            self.faults.cut_off(self.owner())

    def committed(self, node: Node, txn: Txn) -> None:
        if self.victim is None or not self._fences(txn, self.victim.name):
            return
        self.stop(node.processes["manager"], 10.0)
        self.faults.heal(self.victim)

    @staticmethod
    def _fences(txn: Txn, name: str) -> bool:
        for put in txn.puts:
            if put.key == values.STATUS and put.value is not None:
                kept = status.decode(put.value).nodes.get(name)
                return kept is not None and kept.state == "fencing"
        return False
