"""Where the copies of a VM's disks go: asked of the nodes that are to have them."""

from collections.abc import Sequence

from msgspec.structs import replace

from mcv.document.disks import Disk
from mcv.document.model import Vm
from mcv.document.pools import Pool
from mcv.errors import refuse_all
from mcv.host import Host
from mcv.storage import moves
from mcv.storage.moves import DiskMove
from mcv.vm import placing
from mcv.vm.validation import Problems


def to_node(host: Host, vm: Vm, to: str) -> list[DiskMove]:
    """The moves of the VM's local disks into the same pools of another node.

    Errors: Refused, with every reason: no such pool there, no room, a volume of that name.
    """
    copied = moves.copied(vm)
    placed = placed_by(host, vm, [replace(disk, places={to: ""}) for disk in copied])
    return [
        DiskMove(old=old, new=new, source=vm.node, to=to)
        for old, new in zip(copied, placed, strict=True)
    ]


def new_pools(host: Host, vm: Vm, disk_moves: Sequence[DiskMove]) -> dict[str, Pool]:
    """The pool of volume groups that the document lacks for these moves, or lacks nodes of."""
    new = tuple(move.new for move in disk_moves)
    return placing.new_pools(host.read(), replace(vm, disks=new)) if new else {}


def placed_by(host: Host, vm: Vm, disks: Sequence[Disk]) -> list[Disk]:
    """Disks of a VM with their locations, as the nodes say; Refused with every reason."""
    if not disks:
        return []
    problems = Problems()
    asked = replace(vm, disks=tuple(disks))
    facts = placing.facts_of(host, asked, problems)
    if not problems.found:
        placing.judge_room(asked, facts, problems)
    refuse_all(problems.found)
    return list(placing.placed(host.read(), asked, facts).disks)
