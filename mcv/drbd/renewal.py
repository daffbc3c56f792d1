"""The steps by which a plan that changes what the disks hold begins another incarnation."""

from mcv.document.model import Cluster, Vm
from mcv.transaction.plan import Item, Step, change, on


def begin(cluster: Cluster, vm: Vm) -> list[Item]:
    """Raise the incarnation, before the first byte changes: memory that was saved is old then.

    It is not taken back: that the number is higher costs nothing. A document of schema 1 has
    no such number.
    """
    return [Step(change("vm.renew", name=vm.name))] if cluster.schema >= 2 else []


def end(cluster: Cluster, vm: Vm, discard_saved: bool) -> list[Item]:
    """Have a VM that runs bear the new number; give up what is saved, where that was asked for."""
    marked = [Step(on(vm.node, "vm.define", name=vm.name))] if cluster.schema >= 2 else []
    return [*discarded(vm.node, vm.name, discard_saved), *marked]


def discarded(node: str, name: str, discard_saved: bool) -> list[Item]:
    """The step that gives up the saved state on a node, where an operator has asked for it."""
    return [Step(on(node, "vm.discard_saved", name=name))] if discard_saved else []
