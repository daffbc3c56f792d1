"""The manager dies, hangs, or is held up at any step of a recovery: the next one goes on."""

import random
import time
from collections.abc import Callable

import pytest

from tests.lab import LabError, Node, reality, wait_until
from tests.lab.ha.managed import (
    FENCED,
    OFFICE,
    Managed,
    await_soon,
    await_takeover,
    have_manager_elsewhere,
    manager,
)
from tests.lab.ha.test_daemons import goes_on
from tests.lab.ha.trio import VM, Observed, owner

HELD_UP = 15.0  # s for which a manager hangs: longer than another one waits for its beat
LATEST = 25.0  # s after a death within which its recovery is under way

Instant = Callable[[Managed, Observed, Node, Node], bool]
Stroke = Callable[[Node], None]


def asked(managed: Managed, _seen: Observed, dead: Node, _target: Node) -> bool:
    """The power service is asked to switch the dead host off."""
    return managed.offs(dead) > 0


def declared(_managed: Managed, _seen: Observed, dead: Node, target: Node) -> bool:
    """The dead host is offline in the document."""
    return bool(reality.document(target)["nodes"][dead.name]["status"] == "offline")


def taken(_managed: Managed, _seen: Observed, _dead: Node, target: Node) -> bool:
    """Its guest has another owner."""
    return owner(target) == target.name


def begun(_managed: Managed, seen: Observed, _dead: Node, target: Node) -> bool:
    """QEMU is there, and libvirt may still be at its start."""
    return seen.watcher.runs(target)


def killed(node: Node) -> None:
    node.sigkill("mcvd")


def stopped(node: Node) -> None:
    """It hangs, and wakes after another one has taken its office."""
    node.sigstop("mcvd")
    time.sleep(HELD_UP)
    node.sigcont("mcvd")


def recover(managed: Managed, await_moment: Callable[[Observed], None], stroke: Stroke) -> None:
    """The owner's host dies, and the manager is struck at a moment of what follows."""
    trio = managed.trio
    one, two, _ = trio.in_roles()
    decides = have_manager_elsewhere(managed, one)
    managed.power.requests.clear()
    with trio.observed() as seen:
        seen.wait_for_writes(one)
        one.kill()
        await_moment(seen)
        stroke(decides)
        await_takeover(seen, one, two, FENCED + HELD_UP + OFFICE)
        assert owner(two) == two.name
        managed.back(one)
        assert reality.domain(one, VM) in ("absent", "shut off")
        seen.require_nothing_lost(two)


@pytest.mark.row
@pytest.mark.parametrize("stroke", [killed, stopped])
@pytest.mark.parametrize("instant", [asked, declared, taken, begun])
def test_the_next_manager_goes_on_from_each_step(
    managed: Managed, instant: Instant, stroke: Stroke
) -> None:
    one, two, _ = managed.trio.in_roles()

    def is_there(seen: Observed) -> bool:
        try:
            return instant(managed, seen, one, two)
        except LabError:
            return False  # too busy for a moment

    recover(
        managed,
        lambda seen: await_soon(lambda: is_there(seen), FENCED + OFFICE, instant.__name__),
        stroke,
    )


@pytest.mark.soak
@pytest.mark.parametrize("number", range(12))
def test_the_next_manager_goes_on_from_any_moment(managed: Managed, number: int) -> None:
    chance = random.Random(number)
    moment, stroke = chance.uniform(0, LATEST), chance.choice((killed, stopped))

    recover(managed, lambda _: time.sleep(moment), stroke)


@pytest.mark.row
@pytest.mark.parametrize("whose", ["owner", "manager"])
def test_mcvd_hangs_for_a_minute_and_nothing_moves(managed: Managed, whose: str) -> None:
    trio = managed.trio
    one, two, _ = trio.in_roles()
    decides = have_manager_elsewhere(managed, one)
    node = one if whose == "owner" else decides
    managed.power.requests.clear()
    with trio.observed() as seen:
        seen.wait_for_writes(one)
        node.sigstop("mcvd")
        goes_on(seen, 60)
        node.sigcont("mcvd")
        goes_on(seen, 15)
        asked = trio.others(node)[0]
        wait_until(lambda: manager(asked), OFFICE, "a manager")
        assert owner(two) == one.name
        assert "off" not in managed.power.actions()
        assert not seen.watcher.twice
