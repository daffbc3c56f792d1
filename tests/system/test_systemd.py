"""What systemd tells of its host: whether it goes down as a whole."""

from pathlib import Path

import pytest

from mcv.errors import CommandFailed
from mcv.system import systemd


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ("12 shutdown.target start waiting", True),
        ("12 mcvd.service stop running", False),
        ("", False),
    ],
)
def test_a_host_that_stops_is_told_from_a_daemon_that_stops(
    tmp_path: Path, jobs: str, expected: bool
) -> None:
    asked: list[str] = []

    def run(*command: str, **_: object) -> str:
        asked.append(" ".join(command))
        return jobs

    assert systemd.host_is_stopping(run, tmp_path) is expected
    assert asked == ["systemctl list-jobs --plain --no-legend"]


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ("12 reboot.target start waiting", True),
        ("12 kexec.target start waiting", True),
        ("12 poweroff.target start waiting", False),
        ("12 halt.target start waiting", False),
    ],
)
def test_a_host_that_comes_up_again_is_told_from_one_that_does_not(
    tmp_path: Path, jobs: str, expected: bool
) -> None:
    jobs = f"11 shutdown.target start waiting\n{jobs}"

    assert systemd.host_is_rebooting(lambda *_, **__: jobs, tmp_path) is expected
    assert systemd.host_is_rebooting(lambda *_, **__: jobs, tmp_path / "no systemd") is False


def test_a_systemd_that_does_not_answer_is_told_from_a_host_that_stays(tmp_path: Path) -> None:
    def run(*command: str, **_: object) -> str:
        raise CommandFailed("`systemctl` is missing.")

    with pytest.raises(CommandFailed):
        systemd.host_is_stopping(run, tmp_path)
    assert systemd.host_is_stopping(run, tmp_path / "no systemd") is False
