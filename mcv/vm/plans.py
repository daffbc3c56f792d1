"""The plans of VMs: facts in, steps out. Pure functions, each with its commit point."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcv import storage
from mcv.document.disks import BOOT_ROLES
from mcv.document.model import Vm
from mcv.document.pools import Pool
from mcv.document.schema_4 import words_of
from mcv.drbd.renewal import discarded
from mcv.storage import moves as disk_moves
from mcv.storage.moves import DiskMove
from mcv.system.answers import plain
from mcv.transaction.plan import Call, Change, Item, Step, change, on

READ_ALONE = ("seed", *BOOT_ROLES)  # what no guest writes to


def create_plan(
    vm: Vm,
    image_node: str,
    image: str | None,
    why: str,
    pools: Mapping[str, Pool] | None = None,
    start: bool = False,
    more: Mapping[int, tuple[str, str]] | None = None,
) -> list[Item]:
    """Write the VM down with its claim, make its disks on both nodes, define it on its owner.

    `more` says of disks beside the first which node holds their bytes, under which token. The
    definition commits the plan: by then everything the VM is made of exists. A start follows and
    may fail: the VM is created all the same.
    """
    plan: list[Item] = [
        Step(
            change(
                "vm.add", vm=words_of(vm), why=why, **({"pools": plain(pools)} if pools else {})
            ),
            undo=change("vm.remove", name=vm.name),
        )
    ]
    for disk in vm.disks:
        plan += storage.of(disk).creation(vm)
    plan += _cd(vm, vm.node)
    if image is not None:
        plan.append(Step(on(vm.node, "vm.fill", name=vm.name, source=image_node, image=image)))
    for number, (source, token) in sorted((more or {}).items()):
        fill = on(vm.node, "vm.fill", name=vm.name, source=source, image=token, disk=number)
        plan.append(Step(fill))
    plan.append(
        Step(
            on(vm.node, "vm.define", name=vm.name),
            undo=on(vm.node, "vm.undefine", name=vm.name),
            commits=True,
        )
    )
    if start:
        plan.append(Step(on(vm.node, "vm.power_on", name=vm.name), may_fail=True))
    return plan


def delete_plan(
    vm: Vm, keep_disks: bool, discard_saved: bool = False, copies: Sequence[str] = ()
) -> list[Item]:
    """Undefine it, take its disks away, then its entry, the claim with it.

    Undefining commits the plan: from there a deletion runs to its end, since a disk that
    is gone on one side cannot be brought back. `copies` are nodes with a saved state that is old.
    """
    plan: list[Item] = [Step(_undefine(vm.node, vm.name, discard_saved), commits=True)]
    plan += [Step(_undefine(node, vm.name, discard_saved)) for node in copies]
    for disk in vm.disks:
        plan += storage.of(disk).deletion(vm, keep_disks or disk.keep)
    plan.append(Step(change("vm.remove", name=vm.name)))
    return plan


def offline_plan(
    vm: Vm, to: str, start: bool, discard_saved: bool = False, keeps_home: bool = False
) -> list[Item]:
    """Define it there, give the disks back here, write the new owner down, forget it here.

    The new owner in the document commits the plan. A start follows and may fail: the VM
    has moved all the same. Saved memory is given up where an operator asked for it: over there
    at once, since it is old, and here with the definition, when the VM has moved.
    """
    old = vm.node
    plan: list[Item] = [
        *discarded(to, vm.name, discard_saved),
        *_cd(vm, to),
        Step(
            on(to, "vm.define", name=vm.name),
            undo=on(to, "vm.undefine", name=vm.name),
        ),
        *storage.offline_move(vm, to),
        Step(_assigned(vm, to, keeps_home), commits=True),
        Step(_undefine(old, vm.name, discard_saved)),
    ]
    if start:
        plan.append(Step(on(to, "vm.power_on", name=vm.name), may_fail=True))
    return plan


def copied_plan(
    vm: Vm,
    to: str,
    moves: Sequence[DiskMove],
    discard_saved: bool = False,
    pools: Mapping[str, Pool] | None = None,
    keeps_home: bool = False,
) -> list[Item]:
    """Copy the local disks there, write owner and places down, define it there, forget it here.

    The one change that gives the VM to the new owner with its disks commits the plan: until
    then the VM belongs to the node that has its bytes, and from then on the old volumes are
    stale. They go last, when all else is done: see `moves.end_steps`.
    """
    old, name = vm.node, vm.name
    return [
        *discarded(to, name, discard_saved),
        *_cd(vm, to),
        *disk_moves.copy_steps(name, moves),
        *storage.offline_move(vm, to),
        Step(_moved(vm, to, moves, pools, keeps_home), commits=True),
        Step(on(to, "vm.define", name=name)),
        Step(_undefine(old, name, discard_saved)),
    ]


def live_plan(
    vm: Vm,
    to: str,
    bandwidth: int = 0,
    discard_saved: bool = False,
    moves: Sequence[DiskMove] = (),
    pools: Mapping[str, Pool] | None = None,
    exact: Mapping[int, int] | None = None,
    keeps_home: bool = False,
    overlay: str | None = None,
) -> list[Item]:
    """Open both sides, send the memory, resume the target, record the new owner, close.

    The domain arrives paused, and the source has ended before the target is resumed, so
    the VM runs on at most one node at any instant. Resuming the target commits the plan:
    from then on the VM lives on the new node. The undo of each step runs on the step's
    own node, so that a late step finds its object gone. Both sides are closed last, since
    with two primaries they cannot be. The VM is defined there again when its owner is
    recorded: what runs there bears its new incarnation from then on.

    Local disks go along, into volumes that are made first (of the sizes `exact`); a seed, which
    no guest writes to, is copied before. From the resumption on their volumes on the old node
    are stale: owner and places change at once, and the old volumes go last.

    `overlay` is the digest of the overlay that the guest began with, where it is another one.
    """
    old, name = vm.node, vm.name
    disks = storage.live_move(vm, to)
    params: dict[str, Any] = {"disks": [plain(move.new) for move in moves]} if moves else {}
    begun = {} if overlay is None else {"overlay": overlay}
    seeds = [move for move in moves if move.new.role in READ_ALONE]
    return [
        *discarded(to, name, discard_saved),
        *_cd(vm, to),
        *disk_moves.receive_steps(name, moves, exact),
        *disk_moves.send_steps(name, seeds),
        *disks.before,
        Step(
            on(to, "vm.expect", name=name, **params, **begun),
            undo=on(to, "vm.discard_target", name=name),
        ),
        Step(
            on(old, "vm.send", name=name, to=to, bandwidth=bandwidth, **params),
            undo=on(old, "vm.resume_source", name=name),
        ),
        Step(
            on(to, "vm.resume_target", name=name),
            undo=on(to, "vm.discard_target", name=name),
            commits=True,
            seen=on(to, "vm.has_arrived", name=name),
            only_there=bool(moves),
        ),
        Step(
            _moved(vm, to, moves, pools, keeps_home) if moves else _assigned(vm, to, keeps_home),
        ),
        Step(on(to, "vm.define", name=name)),
        *disks.after,
        Step(on(old, "vm.undefine", name=name)),
        *disk_moves.end_steps(name, moves),
    ]


def _assigned(vm: Vm, to: str, keeps_home: bool) -> Change:
    """The owner alone; the new owner is the VM's home, unless it keeps the home that it has."""
    return change("vm.assign", name=vm.name, node=to, **_home(vm, keeps_home))


def _moved(
    vm: Vm,
    to: str,
    moves: Sequence[DiskMove],
    pools: Mapping[str, Pool] | None,
    keeps_home: bool,
) -> Change:
    """Owner and places of the disks, in one change."""
    params: dict[str, Any] = {"disks": [plain(move.new) for move in moves]}
    if pools:
        params["pools"] = plain(pools)
    return change("vm.move", name=vm.name, node=to, **params, **_home(vm, keeps_home))


def _home(vm: Vm, keeps_home: bool) -> dict[str, bool]:
    """Members of before schema 4 know no such word, and no VM has a home in their documents."""
    return {"home": False} if keeps_home and vm.home else {}


# What of a VM that runs counts at once, where libvirt can bring it about.
LIVE = ("memory", "cpus", "cpu_limit", "iops", "bandwidth")


def update_plan(
    schema: int,
    vm: Vm,
    values: Mapping[str, Any],
    is_of_domain: bool = True,
    discard_saved: bool = False,
) -> list[Item]:
    """Write the new values to the document, which commits the plan, then define the VM.

    An image comes to the node before it is the VM's CD (`cd`, "" for none). What libvirt refuses
    of a VM that runs is told: the guest has that from its next start on.
    """
    name, cd = vm.name, values.get("cd")
    plan: list[Item] = [Step(on(vm.node, "vm.bring_cd", name=name, image=cd))] if cd else []
    changes = _changes(schema, name, values)
    plan += [Step(each, commits=each is changes[0]) for each in changes]
    if is_of_domain:
        plan.append(Step(on(vm.node, "vm.define", name=name)))
        plan += discarded(vm.node, name, discard_saved)
    if any(key in LIVE for key in values):
        plan.append(Step(on(vm.node, "vm.adjust", name=name), may_fail=True))
    if cd is not None:
        plan.append(Step(on(vm.node, "vm.change_cd", name=name), may_fail=True))
    return plan


def _changes(schema: int, name: str, values: Mapping[str, Any]) -> list[Change]:
    """One change; in a document of before schema 4 one for each that its members know."""
    if schema >= 4:
        return [change("vm.set", name=name, **values)]
    start = {key: values.get(key) for key in ("autostart", "start_order", "start_delay")}
    sizes = {key: values.get(key) for key in ("memory", "cpus")}
    changes = [change("vm.set_cd", name=name, cd=values["cd"])] if "cd" in values else []
    if any(value is not None for value in sizes.values()):
        changes.append(change("vm.update", name=name, **sizes))
    if any(value is not None for value in start.values()):
        changes.append(change("vm.set_start", name=name, **start))
    return changes


def _cd(vm: Vm, node: str) -> list[Item]:
    """The image in the VM's CD drive comes to a node, under the same path; it may stay there."""
    return [Step(on(node, "vm.bring_cd", name=vm.name))] if vm.cd else []


def _undefine(node: str, name: str, discard_saved: bool) -> Call:
    """Without the flag the step is refused where memory is saved, and the plan goes back."""
    flag = {"discard_saved": True} if discard_saved else {}
    return on(node, "vm.undefine", name=name, **flag)
