"""The minutes that a run of the tests prints for each file of tests/lab."""

from typing import Literal

import pytest

from tests import minutes

When = Literal["setup", "call", "teardown"]


def report(nodeid: str, when: When, duration: float) -> pytest.TestReport:
    return pytest.TestReport(nodeid, (nodeid, 0, ""), {}, "passed", None, when, duration=duration)


def test_a_file_s_minutes_are_those_of_its_tests_and_their_fixtures() -> None:
    reports = [
        report("tests/lab/test_a.py::test_1", "setup", 60),
        report("tests/lab/test_a.py::test_1", "call", 30),
        report("tests/lab/test_a.py::test_2", "teardown", 30),
        report("tests/lab/test_b.py::test_1", "call", 180),
        report("tests/vm/test_c.py::test_1", "call", 600),
    ]

    assert minutes.lines(reports) == [
        "  3.0  tests/lab/test_b.py",
        "  2.0  tests/lab/test_a.py",
        "  5.0  in all",
    ]


def test_a_run_without_the_lab_prints_none() -> None:
    assert minutes.lines([report("tests/vm/test_c.py::test_1", "call", 600)]) == []
