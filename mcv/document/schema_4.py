"""What a document of before schema 4 becomes in it: each VM has a home, the node that owns it."""

import msgspec
from msgspec.structs import replace

from mcv.document.model import Cluster, Node, Vm
from mcv.document.schema import (
    Raw,
    node_of_schema_3,
    node_of_schema_4,
    node_of_schema_5,
    vm_of_schema_3,
)


def with_homes(base: Cluster) -> Cluster:
    """The document with a home for each VM that has none."""
    for vm in base.vms.values():
        if not vm.home:
            base = base.with_vm(with_home(vm))
    return base


def with_home(vm: Vm) -> Vm:
    """The VM with its owner as its home where it has none."""
    return vm if vm.home else replace(vm, home=vm.node)


def assigned(base: Cluster, vm: Vm, node: str, home: bool) -> Vm:
    """The VM with another owner; with `home`, from schema 4 on, that is its home too."""
    return replace(vm, node=node, home=node if home and base.schema >= 4 else vm.home)


def words_of(vm: Vm) -> Raw:
    """A VM as plain values for `vm.add`, in the words of schema 3 where they say all of it.

    Members that have an older mcv compute the change too, and know no other words.
    """
    whole: Raw = msgspec.to_builtins(vm)
    older = vm_of_schema_3(whole)
    return older if msgspec.convert(older, Vm) == vm else whole


def words_of_node(node: Node) -> Raw:
    """The same of a member, for `node.add`."""
    whole: Raw = msgspec.to_builtins(node)
    of_before = (node_of_schema_3(whole), node_of_schema_4(whole), node_of_schema_5(whole))
    return next((raw for raw in of_before if msgspec.convert(raw, Node) == node), whole)
