"""Looks at what hangs: nobody waits for them longer than said, and there is one of them."""

import threading
import time

import pytest

from mcv.errors import CommandFailed
from mcv.system.looks import KEPT, Looks


class Hanging:
    """A look that ends when it is let go, and counts how often it began."""

    def __init__(self) -> None:
        self.began = 0
        self.goes_on = threading.Event()

    def __call__(self) -> int:
        self.began += 1
        self.goes_on.wait()
        return self.began


def test_a_look_answers_or_raises_what_it_ends_in() -> None:
    def fail() -> int:
        raise CommandFailed("There is no directory /srv.")

    looks = Looks()

    assert looks.at("/a", lambda: 7, patience=5) == 7
    with pytest.raises(CommandFailed, match="no directory"):
        looks.at("/a", fail, patience=5)
    assert looks.at("/a", lambda: 8, patience=5) == 8


def test_what_hangs_holds_one_thread_however_often_it_is_asked_for() -> None:
    looks, hanging = Looks(), Hanging()

    for _ in range(3):
        with pytest.raises(CommandFailed, match="/srv does not answer"):
            looks.at("/srv", hanging, patience=0.01)
    assert looks.at("/other", lambda: 1, patience=5) == 1
    assert hanging.began == 1

    hanging.goes_on.set()
    assert looks.at("/srv", hanging, patience=5) >= 1


def test_a_caller_that_says_so_gets_the_result_of_the_look_before() -> None:
    looks, hanging = Looks(), Hanging()
    assert looks.at("LVM", lambda: 7, patience=5) == 7

    assert looks.at("LVM", hanging, patience=0.01, oldest=60) == 7
    with pytest.raises(CommandFailed, match="does not answer"):
        looks.at("LVM", hanging, patience=0.01)
    hanging.goes_on.set()


def test_what_is_known_from_before_is_waited_for_briefly() -> None:
    looks, hanging = Looks(), Hanging()
    began = time.monotonic()
    assert looks.at("LVM", lambda: 7, patience=5, oldest=60, brief=0.01) == 7

    assert looks.at("LVM", hanging, patience=5, oldest=60, brief=0.01) == 7
    assert hanging.began == 1 and time.monotonic() - began < 4
    hanging.goes_on.set()
    assert looks.at("LVM", hanging, patience=5, brief=0.01) >= 1  # nothing that is young enough


def test_an_error_that_nobody_foresaw_is_told_and_ends_the_look() -> None:
    def stumble() -> int:
        raise ValueError("not a number")

    looks = Looks()

    with pytest.raises(CommandFailed, match="/a cannot be read: not a number"):
        looks.at("/a", stumble, patience=5)
    assert looks.at("/a", lambda: 1, patience=5) == 1


def test_the_result_of_what_nobody_looks_at_any_more_is_forgotten() -> None:
    looks = Looks()
    looks.at("/gone", lambda: 1, patience=5)
    looks.at("/young", lambda: 2, patience=5)
    looks._last["/gone"].ended -= KEPT + 1

    looks.at("/other", lambda: 3, patience=5)

    assert looks._last.keys() == {"/young", "/other"}
