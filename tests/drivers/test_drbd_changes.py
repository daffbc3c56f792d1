"""Somebody who waits for a change of any resource is told, and not before."""

import time
from pathlib import Path

from mcv.drivers.drbd import Drbd
from mcv.system.process import lines


def drbd(tmp_path: Path, script: str) -> Drbd:
    (tmp_path / "sys/module/drbd").mkdir(parents=True)

    def follow(*command: str):  # type: ignore[no-untyped-def]
        assert command == ("timeout", "65", "drbdsetup", "events2")
        return lines("sh", "-c", script)

    return Drbd(follow=follow, root=tmp_path)


def test_it_returns_at_an_event_and_else_when_the_time_is_over(tmp_path: Path) -> None:
    began = time.monotonic()
    with drbd(tmp_path, "sleep 0.3; echo change; sleep 60").changes.followed(65) as watch:
        watch.wait(30)
        told = time.monotonic()
        watch.wait(0.2)

    assert 0.2 < told - began < 20
    assert time.monotonic() - told >= 0.2


def test_a_stream_that_has_ended_is_waited_with_as_without_one(tmp_path: Path) -> None:
    with drbd(tmp_path, "exit 20").changes.followed(65) as watch:
        watch.wait(30)
        began = time.monotonic()
        watch.wait(0.2)

    assert time.monotonic() - began >= 0.2


def test_without_the_module_nothing_is_run(tmp_path: Path) -> None:
    with Drbd(root=tmp_path).changes.followed(65) as watch:
        watch.wait(0)
