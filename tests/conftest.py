"""What every test may ask for: a cluster of two in one process."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.tracer  # noqa: F401  before anything that imports filelock
from tests import minutes
from tests.fakes.cluster import FakeCluster

# What a promise compares is to be shown where it is broken, as in a test.
pytest.register_assert_rewrite("tests.contract")

# A run in the background of a shell, or under nohup, ignores these, and so would each command that
# a test starts. What has a handler here is as the system has it there.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FakeCluster]:
    cluster = FakeCluster(tmp_path)
    yield cluster
    cluster.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    if lines := minutes.lines(reports):
        terminalreporter.section("minutes per file of the lab's tests")
        for line in lines:
            terminalreporter.write_line(line)
