"""Whether libvirt asks mcv's hook: by when libvirt began, and since when there is a hook."""

import os
import time
from pathlib import Path

import pytest

from mcv.drivers.libvirt_hook import HOOK, HookState, state
from tests.check.faults import look
from tests.fakes.cluster import FakeCluster

TICKS = os.sysconf("SC_CLK_TCK")


def begin(root: Path, daemon: str, after: float, name: str = "daemon") -> None:
    """A daemon of libvirt's that began so many seconds after mcv's hook was made."""
    made = int((root / HOOK).stat().st_ctime)
    (root / "proc/77").mkdir(parents=True, exist_ok=True)
    (root / "run").mkdir(exist_ok=True)
    (root / f"run/{daemon}.pid").write_text("77\n")
    (root / "proc/stat").write_text(f"cpu 1 2\nbtime {made - 1000}\nprocesses 9\n")
    ticks = int((1000 + after) * TICKS)
    fields = " ".join(["S", *["0"] * 18, str(ticks), "0"])
    (root / "proc/77/stat").write_text(f"77 ({name}) {fields}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    hook = tmp_path / HOOK
    hook.parent.mkdir(parents=True)
    hook.touch(0o755)
    return tmp_path


@pytest.mark.parametrize("daemon", ["libvirtd", "virtqemud"])
def test_a_libvirt_that_began_before_the_first_hook_does_not_see_it(
    root: Path, daemon: str
) -> None:
    begin(root, daemon, -5)
    assert state(root) is HookState.UNSEEN

    begin(root, daemon, +5, name="a ) name")

    assert state(root) is HookState.ASKED


def test_another_hook_that_was_there_before_is_enough(root: Path) -> None:
    other = root / "etc/libvirt/hooks/qemu"
    other.touch(0o755)
    (root / HOOK).unlink()
    time.sleep(0.05)
    (root / HOOK).touch(0o755)
    between = other.stat().st_ctime + 0.03 - int((root / HOOK).stat().st_ctime)

    begin(root, "libvirtd", between)
    assert state(root) is HookState.ASKED

    other.unlink()
    assert state(root) is HookState.UNSEEN


def test_a_libvirt_that_does_not_run_will_see_it(root: Path) -> None:
    assert state(root) is HookState.ASKED

    begin(root, "libvirtd", -5)
    (root / "proc/77/stat").unlink()

    assert state(root) is HookState.ASKED


def test_what_is_no_program_is_no_hook(root: Path) -> None:
    (root / HOOK).chmod(0o644)
    assert state(root) is HookState.ABSENT

    (root / HOOK).unlink()

    assert state(root) is HookState.ABSENT


def test_the_check_says_what_helps(vm: FakeCluster, units: Path) -> None:
    root = units.parent / "root"
    begin(root, "libvirtd", -5)

    found = look(vm)

    assert {row[:3] for row in found} == {("warning", node, f"/{HOOK}") for node in ("n1", "n2")}
    assert all("began before there was a hook" in row[3] for row in found)
    (root / HOOK).unlink()
    assert all("missing" in row[3] for row in look(vm))
