"""One lock file a VM: it ends with the last command that was started under it."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mcv.errors import Busy
from mcv.system import process
from mcv.system.locks import Locks


@pytest.fixture
def locks(tmp_path: Path) -> Locks:
    return Locks(tmp_path / "locks")


def test_who_waits_in_vain_is_told_who_is_at_work_and_since_when(locks: Locks) -> None:
    with locks.hold("vm-web1", "migrate web1 to n2"):
        note = locks.notes()["vm-web1"]
        with (
            pytest.raises(Busy, match="vm-web1 is busy: migrate web1 to n2 since 20") as error,
            locks.hold("vm-web1", "stop web1", timeout=0.1),
        ):
            pass
        assert locks.notes() == {"vm-web1": note}

    assert "mcv locks list" in error.value.hint
    assert locks.notes() == {} and set(note) == {"why", "since", "pid"}


def test_calls_about_one_vm_take_turns_and_those_about_two_do_not(locks: Locks) -> None:
    order: list[str] = []

    def work(name: str, which: str) -> None:
        with locks.hold(name, which):
            order.append(f"{which} in")
            time.sleep(0.05)
            order.append(f"{which} out")

    threads = [threading.Thread(target=work, args=("vm-web1", str(one))) for one in range(4)]
    for thread in threads:
        thread.start()
    with locks.hold("vm-web2", "other"):
        assert "vm-web2" in locks.notes()
    for thread in threads:
        thread.join()

    assert len(order) == 8
    assert all(order[n].split()[0] == order[n + 1].split()[0] for n in range(0, 8, 2))


def test_a_lock_is_free_again_after_an_error(locks: Locks) -> None:
    with pytest.raises(ZeroDivisionError), locks.hold("vm-web1", "divide"):
        raise ZeroDivisionError

    with locks.hold("vm-web1", "again", timeout=0):
        pass


def test_a_command_that_outlives_its_step_keeps_the_lock_until_it_ends(
    locks: Locks, tmp_path: Path
) -> None:
    with locks.hold("vm-web1", "convert"):
        process.run("sh", "-c", "(setsid sleep 1 >/dev/null 2>&1 </dev/null &)")

    with (
        pytest.raises(Busy, match="a command of an earlier step"),
        locks.hold("vm-web1", "stop", timeout=0.1),
    ):
        pass
    began = time.monotonic()
    with locks.hold("vm-web1", "stop", timeout=5):
        assert time.monotonic() - began > 0.3


HOLDER = """
import sys, time
from pathlib import Path
from mcv.system import process
from mcv.system.locks import Locks
with Locks(Path(sys.argv[1])).hold("vm-web1", "convert"):
    if sys.argv[2] == "command":
        process.run("sh", "-c", "(setsid sleep 1.5 >/dev/null 2>&1 </dev/null &)")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("what", ["command", "nothing"])
def test_a_daemon_that_is_killed_holds_nothing_but_its_commands_do(
    locks: Locks, tmp_path: Path, what: str
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "locks"), what], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()

    if what == "command":
        with (
            pytest.raises(Busy, match="vm-web1 is busy: convert since"),
            locks.hold("vm-web1", "stop", timeout=0.1),
        ):
            pass
    with locks.hold("vm-web1", "stop", timeout=5 if what == "command" else 0):
        assert locks.notes()["vm-web1"]["why"] == "stop"


def test_a_command_started_outside_of_a_lock_inherits_none(locks: Locks) -> None:
    with locks.hold("vm-web1", "look"):
        assert len(process.inherited.get()) == 1
    assert process.inherited.get() == ()
