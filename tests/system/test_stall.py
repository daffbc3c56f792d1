"""Work that stands still is left to itself, and whoever waits for it is told."""

import threading

import pytest

from mcv.errors import OutcomeOpen, Refused
from mcv.system import stall


def test_work_that_ends_gives_its_answer_or_its_error() -> None:
    def refuse() -> None:
        raise Refused("no")

    assert stall.until_stalled(lambda: 7, "vm.define") == 7
    with pytest.raises(Refused, match="no"):
        stall.until_stalled(refuse, "vm.define")


def test_work_that_stands_still_is_open_and_goes_on() -> None:
    goes_on, done = threading.Event(), threading.Event()

    def work() -> None:
        stall.tell("libvirt does not answer on n1")
        assert goes_on.wait(10)
        done.set()

    with pytest.raises(OutcomeOpen, match=r"vm\.define is not over: libvirt does not answer on n1"):
        stall.until_stalled(work, "vm.define")
    assert not done.is_set()
    goes_on.set()
    assert done.wait(10)


def test_where_nobody_waits_nobody_is_told() -> None:
    stall.tell("libvirt does not answer on n1")
