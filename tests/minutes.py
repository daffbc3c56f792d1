"""How long each file of the lab's tests took, to see at once what makes `make test` longer."""

from collections import defaultdict
from collections.abc import Iterable

from pytest import CollectReport, TestReport

LAB = "tests/lab/"


def lines(reports: Iterable[CollectReport | TestReport]) -> list[str]:
    """Minutes and file, the longest first; a file's fixtures count where they were set up."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in reports:
        file = report.nodeid.split("::")[0]
        if isinstance(report, TestReport) and file.startswith(LAB):
            seconds[file] += report.duration
    longest = sorted(seconds.items(), key=lambda entry: -entry[1])
    listed = [f"{took / 60:5.1f}  {file}" for file, took in longest]
    return [*listed, f"{sum(seconds.values()) / 60:5.1f}  in all"] if listed else []
