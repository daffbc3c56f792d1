"""Resetting the host, with files in place of the kernel's."""

from pathlib import Path

import pytest

from mcv.system import reset


class Libc:
    def __init__(self) -> None:
        self.asked: list[int] = []

    def reboot(self, command: int) -> None:
        self.asked.append(command)


def test_sysrq_is_tried_first_and_the_reason_is_in_the_kernels_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libc = Libc()
    monkeypatch.setattr(reset, "_LIBC", libc)
    sysrq, kmsg = tmp_path / "sysrq", tmp_path / "kmsg"
    for path in (sysrq, kmsg):
        path.touch()

    reset.reset("a guest is left", sysrq, kmsg)

    assert sysrq.read_text() == "b"
    assert kmsg.read_text() == "<2>mcv-lease: reset: a guest is left\n"
    assert libc.asked == [0x01234567]


def test_a_kernel_without_sysrq_is_asked_by_reboot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libc = Libc()
    monkeypatch.setattr(reset, "_LIBC", libc)

    reset.reset("", tmp_path / "none", tmp_path / "none")

    assert libc.asked == [0x01234567]
