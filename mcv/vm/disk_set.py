"""How a guest reaches a disk: its bus, its cache, and what it is held down to."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from mcv import sizes
from mcv.document.disks import Disk
from mcv.document.subject import Subject
from mcv.errors import Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import disk_bus, preconditions
from mcv.vm import disks
from mcv.vm.disk_answers import DiskSet
from mcv.vm.disk_plans import set_plan
from mcv.vm.validation import Problems

KEYS = ("bus", "cache", "discard", "iops", "bandwidth")
MOST_IOPS = 10**9
MOST_BANDWIDTH = 2**50  # bytes a second


def set_(
    host: Host, name: str, disk: int, values: dict[str, str], dry_run: bool = False
) -> DiskSet | DryRun:
    """Change settings of a disk: limits at once, the rest from the next start on.

    Raises Refused, with every reason at once, for a bus while the VM is active: the guest would
    find the disk under another name.
    """

    def prepare() -> Prepared[DiskSet]:
        problems = Problems()
        vm = disks.changeable(host, name, problems)
        known = vm.disk(disk)
        problems.found += disks.why_fixed(vm, known)
        problems.found += disk_bus.why_leaving(vm, known)
        parsed = _parsed(values, problems)
        new: Disk = replace(known, **parsed)
        problems.found += disk_bus.why_not_on(vm, new)
        active = host.domains.is_active(name)
        if new.bus != known.bus:
            try:
                preconditions.stopped(name, active, host.domains.state(name))
            except Refused as problem:
                problems.found.append(problem)
        refuse_all(problems.found)
        pending = disk_bus.pending(known, new, parsed) if active else []
        said = ", ".join(disk_bus.in_words(key, value) for key, value in parsed.items())
        return Prepared(
            set_plan(vm, known, msgspec.to_builtins(parsed)),
            DiskSet(name=name, disk=disk, said=said, pending=pending),
        )

    return host.operate(Subject.vm(name), f"set disk {disk} of {name}", prepare, dry_run)


def _parsed(values: dict[str, str], problems: Problems) -> dict[str, str | int | bool]:
    """The values by key; what is wrong with them goes to problems."""
    parsed: dict[str, str | int | bool] = {}
    if not values:
        problems.add("There is nothing to change.", "See: mcv disk set --help")
    for key, text in values.items():
        if key not in KEYS:
            problems.add(f"A disk has no setting {key}.", f"It has: {', '.join(KEYS)}.")
            continue
        try:
            parsed[key] = PARSERS[key](text)
        except Refused as problem:
            problems.found.append(problem)
    return parsed


def _one_of(what: str, allowed: tuple[str, ...], text: str) -> str:
    if text not in allowed:
        raise Refused(f"{what}={text} makes no sense.", f"It can be: {', '.join(allowed)}.")
    return text


def _discard(text: str) -> bool:
    return _one_of("discard", ("yes", "no"), text) == "yes"


def _iops(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MOST_IOPS:
        raise Refused(f"iops={text} makes no sense.", f"It can be 0 (no limit) to {MOST_IOPS}.")
    return int(text)


def _bandwidth(text: str) -> int:
    rate = 0 if text == "0" else sizes.parse(text, "bandwidth")
    if rate > MOST_BANDWIDTH:
        raise Refused(f"bandwidth={text} makes no sense.", "It can be 0 (no limit) to 1PiB.")
    return rate


PARSERS: dict[str, Callable[[str], str | int | bool]] = {
    "bus": lambda text: _one_of("bus", disk_bus.BUSES, text),
    "cache": lambda text: _one_of("cache", disk_bus.CACHES, text),
    "discard": _discard,
    "iops": _iops,
    "bandwidth": _bandwidth,
}
