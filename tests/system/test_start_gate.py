"""The gate in front of starts: held together by starts, alone by mcv-lease."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mcv.system import process
from mcv.system.start_gate import GateClosed, StartGate

HOLD = """
import sys, time
from pathlib import Path
from mcv.system.start_gate import StartGate
with StartGate(Path(sys.argv[1])).together(1):
    print("held", flush=True)
    time.sleep(60)
"""


def test_starts_hold_it_together_and_nobody_alone_meanwhile(tmp_path: Path) -> None:
    gate, lease = StartGate(tmp_path), StartGate(tmp_path)

    with gate.together(0), gate.together(0):
        assert not lease.close()

    assert lease.close()
    assert lease.close()


def test_held_alone_it_lets_no_start_through_until_it_is_opened(tmp_path: Path) -> None:
    gate, lease = StartGate(tmp_path), StartGate(tmp_path)
    assert lease.close()

    with pytest.raises(GateClosed), gate.together(0.1):
        pass

    threading.Timer(0.2, lease.open).start()
    begun = time.monotonic()
    with gate.together(5):
        assert time.monotonic() - begun < 4


def test_it_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    lease = StartGate(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    assert not lease.close()

    holder.kill()
    holder.wait()

    assert lease.close()


def test_a_command_that_was_started_under_it_holds_it_on(tmp_path: Path) -> None:
    gate, lease = StartGate(tmp_path), StartGate(tmp_path)

    with gate.together(0):
        command = subprocess.Popen(["sleep", "60"], pass_fds=process.inherited.get())

    assert not lease.close()
    command.kill()
    command.wait()
    assert lease.close()
    assert process.inherited.get() == ()


def test_a_file_that_was_removed_is_held_by_nobody(tmp_path: Path) -> None:
    gate, lease = StartGate(tmp_path), StartGate(tmp_path)
    assert lease.close()
    (tmp_path / "start-gate").unlink()

    with gate.together(0):
        assert not lease.close()
    assert lease.close()
    with pytest.raises(GateClosed), gate.together(0):
        pass


def test_it_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    gate, lease = StartGate(tmp_path), StartGate(tmp_path)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        with gate.together(0):
            lease.close()
        lease.close()
        with pytest.raises(GateClosed), gate.together(0):
            pass
        lease.open()

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_marker_stays_until_libvirt_has_answered(tmp_path: Path) -> None:
    gate = StartGate(tmp_path)
    assert gate.marks() == ()

    gate.mark("web1")
    gate.mark("db")
    gate.mark("db")

    assert StartGate(tmp_path).marks() == ("db", "web1")
    gate.unmark("db")
    gate.unmark("db")
    assert gate.marks() == ("web1",)


@pytest.mark.parametrize("name", ["", ".x", "../lease", "a/b"])
def test_a_marker_has_the_name_of_a_vm(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a VM"):
        StartGate(tmp_path).mark(name)
