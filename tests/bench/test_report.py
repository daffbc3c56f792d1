"""The benchmark's pure parts: ratios, the table, the page and the plot."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from tests.bench import moves, report
from tests.bench.row import Row, alternate

SLOW = Row("move <fast>", "One beside the other.", (3.0, 2.5), (1.0, 1.25), bound=2.0)
QUICK = Row("sync", "A rate.", (1.0, 2.0), (9.0, 6.0), bound=5.0, is_speed=True)


def bars(rows: list[Row]) -> list[tuple[float, str]]:
    """Width and colour of each bar of the plot."""
    tree = ET.fromstring(report.svg(rows))
    found = tree.findall("{http://www.w3.org/2000/svg}rect")[1:]
    return [(float(one.attrib["width"]), one.attrib["fill"]) for one in found]


@pytest.mark.parametrize(
    ("story", "row", "ratio", "holds"),
    [
        ("the best of both counts", SLOW, 2.5, False),
        ("at its bound it holds", replace(SLOW, bound=2.5), 2.5, True),
        ("a throughput is the other way round", QUICK, 6.0, True),
        ("and has to reach its bound", replace(QUICK, bound=6.5), 6.0, False),
        (
            "or the median of both",
            replace(SLOW, ours=(9.0, 2.0, 1.0), is_median=True),
            16 / 9,
            True,
        ),
    ],
)
def test_a_ratio_holds_within_its_bound(story: str, row: Row, ratio: float, holds: bool) -> None:
    assert (row.ratio, row.holds) == (ratio, holds), story


def test_both_sides_are_measured_in_turn() -> None:
    ours, reference = count(0, 2), count(1, 2)
    turns: list[str] = []

    def measured(who: str, clock: Iterator[int]) -> float:
        turns.append(who)
        return float(next(clock))

    times = alternate(lambda: measured("mcv", ours), lambda: measured("hand", reference), 3)

    assert times == ([0, 2, 4], [1, 3, 5])
    assert turns == ["mcv", "hand"] * 3


def test_the_table_says_which_bounds_do_not_hold() -> None:
    lines = report.table([SLOW, QUICK]).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "move <fast>",
        "2.5 s",
        "1 s",
        "2.50",
        "≤ 2",
        "NO",
    ]
    assert lines[3].endswith("| 6.00  | ≥ 5   | yes   |")
    assert report.verdict([SLOW, QUICK]) == "1 of 2 bounds do not hold: move <fast>."
    assert report.verdict([QUICK]) == "All 1 bounds hold."


def test_the_page_tells_what_was_compared_and_on_what_machine() -> None:
    text = report.page([SLOW, QUICK], ["2 cores", "Linux 6.1"])

    assert report.table([SLOW, QUICK]) in text and "do not hold: move <fast>" in text
    assert "- **sync**: A rate. Ratio of throughput. Seconds: mcv 1 2, reference 9 6." in text
    assert "- 2 cores\n- Linux 6.1\n" in text


def test_a_median_is_shown_and_said() -> None:
    row = replace(SLOW, ours=(9.0, 3.5, 1.0), is_median=True)

    assert "| 3.5 s | 1.12 s    |" in report.table([row])
    assert "Ratio of time, by the median." in report.page([row], [])


def test_a_bar_ends_left_of_the_line_where_the_bound_holds() -> None:
    line = report.PLOT / report.FULL

    slow, quick = bars([SLOW, QUICK])

    assert slow[0] > line and slow[1] == report.BAD
    assert quick[0] == pytest.approx(line * 5 / 6, abs=0.1) and quick[1] == report.GOOD


def test_a_bar_far_beyond_its_bound_ends_with_the_plot() -> None:
    assert bars([replace(SLOW, bound=0.1)])[0][0] == report.PLOT


@pytest.mark.parametrize(("maps", "memory"), [(65530, 192), (262144, 192), (1048576, 512)])
def test_a_guest_is_as_large_as_a_process_of_this_machine_can_map(maps: int, memory: int) -> None:
    assert moves.memory_of_guest(maps) == memory
