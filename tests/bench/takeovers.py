"""Rows about a host that dies: until its guest runs elsewhere, less what its start takes there."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.row import Row
from tests.bench.stage import PATIENCE, Stage
from tests.lab import Lab, Node, reality, wait_until
from tests.lab.cluster import mcv, wait_for_contact
from tests.lab.ha.fenced import powered
from tests.lab.ha.trio import VM, WITNESS, Trio

KILLS = 20
FENCED, BY_LEASE = 20.0, 30.0  # s, as ha.md has them for a busy lab at pace 1
BOOTED = 120.0  # s in which a fenced host is switched on again


def after_a_death(stage: Stage) -> list[Row]:
    """Twenty deaths without a fence device, and twenty with one, of an owner each."""
    trio = Trio(stage.lab.up(3), stage.lab.node(WITNESS))
    trio.make_armed()
    by_lease = _deaths(trio, is_fenced=False)
    with _fenced(stage.lab, trio):
        fenced = _deaths(trio, is_fenced=True)
    _leave(stage, trio)
    return [
        _row("a dead host's guest, fenced", "its power is switched off", fenced, FENCED),
        _row("a dead host's guest, by lease", "its lease alone is taken", by_lease, BY_LEASE),
    ]


def _row(name: str, how: str, spent: list[float], most: float) -> Row:
    return Row(
        name,
        f"From the death of a host, {how}, to its guest running on another one, less `virsh "
        f"start` of the same guest there, each of {KILLS} times; and {most:.0f} s.",
        tuple(spent),
        (most,),
        bound=1,
        is_median=True,
    )


def _deaths(trio: Trio, is_fenced: bool) -> list[float]:
    """Seconds of each takeover, less those that libvirt takes to start the guest there."""
    mcv(trio.nodes[2], f"ha add {VM}")
    spent = [_death(trio, is_fenced) for _ in range(KILLS)]
    mcv(trio.nodes[2], f"ha remove {VM}")
    return spent


def _death(trio: Trio, is_fenced: bool) -> float:
    one, two, three = trio.in_roles()
    began = time.monotonic()
    one.kill()
    wait_until(lambda: reality.domain(two, VM) == "running", PATIENCE, f"{VM} to run elsewhere")
    spent = time.monotonic() - began
    if is_fenced:  # and switched on again, by its device
        wait_until(lambda: one.is_running, BOOTED, f"{one.name} to be switched on")
        one.wait()
    trio.come_back(one)
    return spent - _bare_start(two, three)


def _bare_start(node: Node, asked: Node) -> float:
    """Seconds of `virsh start` of the guest, which runs there, its daemon standing still."""
    _set(asked, "ignored")
    node.sigstop()
    try:
        node.run(f"virsh destroy {VM}", timeout=PATIENCE)
        began = time.monotonic()
        node.run(f"virsh start {VM}", timeout=PATIENCE)
        return time.monotonic() - began
    finally:
        node.sigcont()
        _set(asked, "started")


def _set(asked: Node, state: str) -> None:
    """Say what is wanted, as soon as a daemon that has just begun takes part in changes."""
    words = f"mcv ha set {VM} --state {state}"
    wait_until(lambda: asked.run(words, check=False, timeout=60).code == 0, 60, words)


@contextmanager
def _fenced(lab: Lab, trio: Trio) -> Iterator[None]:
    """A tested plug for both nodes that have the guest's replicas; it stands still meanwhile."""
    *owners, three = trio.nodes
    one, *_ = trio.in_roles()
    mcv(three, f"stop {VM}")
    with powered(lab, trio, owners):
        for node in owners:
            mcv(three, f"fence test {node.name} --off --yes", timeout=PATIENCE)
            trio.come_back(node)
            wait_for_contact(trio.nodes)
        mcv(one, f"start {VM}", timeout=PATIENCE)
        yield


def _leave(stage: Stage, trio: Trio) -> None:
    """Leave the two nodes of the other rows as they were."""
    trio.disarm()
    one, *_ = trio.in_roles()
    mcv(one, f"stop {VM}")
    mcv(one, f"delete {VM} --yes")
    trio.move_back()
    trio.nodes[2].kill()
    stage.clean()
