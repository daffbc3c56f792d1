"""`make bench`: boot two nodes, measure, write docs/bench; exit 1 where a bound does not hold."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    births,
    copies,
    deciding,
    doors,
    echo,
    moves,
    reading,
    replicas,
    report,
    seeing,
    takeovers,
)
from tests.bench.row import Row
from tests.bench.stage import Stage
from tests.lab import Lab, LabError
from tests.lab.host import TREE, Place
from tests.lab.image import Image

DOCS = TREE / "docs/bench"

GROUPS: dict[str, Callable[[Stage], list[Row]]] = {
    "version": reading.start,
    "verify": replicas.verification,
    "create": births.birth,
    "offline": moves.offline,
    "copy": copies.offline,
    "live": moves.live,
    "sync": replicas.synchronisation,
    "many": reading.many,
    "seeing": seeing.watched,
    "echo": echo.typed,
    "store": doors.either,
    "decide": deciding.rounds,
    "takeover": takeovers.after_a_death,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=GROUPS,
        metavar="NAME",
        help=f"only these, and write no page: {', '.join(GROUPS)}",
    )
    asked, place = parser.parse_args(), Place.from_environment()
    try:
        with Lab(place.beside("bench"), Image(place.directory / "base")) as lab:
            return carry_out(Stage(lab), asked.rows or list(GROUPS), whole=not asked.rows)
    except LabError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def carry_out(stage: Stage, groups: list[str], whole: bool) -> int:
    """Measure, print, and write the page where nothing was left out.

    A group that cannot be measured is said at the end, and the others are measured all the same.
    """
    rows: list[Row] = []
    failed: list[str] = []
    for group in groups:
        print(f"bench: {group}", file=sys.stderr)
        try:
            measured = GROUPS[group](stage)
        except (LabError, AssertionError) as error:
            failed.append(f"{group} could not be measured: {error}")
            stage.clean()
            continue
        for row in measured:
            ours, reference = row.compared_times
            seconds = f"mcv {ours:.3g} s, reference {reference:.3g} s"
            print(f"  {row.name}: {row.ratio:.2f} ({row.limit}), {seconds}", file=sys.stderr)
        rows += measured
    if whole and not failed:
        DOCS.mkdir(parents=True, exist_ok=True)
        (DOCS / "README.md").write_text(report.page(rows, machine(stage)), encoding="utf-8")
        (DOCS / "ratios.svg").write_text(report.svg(rows), encoding="utf-8")
    print("\n".join([report.table(rows), report.verdict(rows), *failed]))
    return 0 if all(row.holds for row in rows) and not failed else 1


def machine(stage: Stage) -> list[str]:
    """What the numbers were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "an unknown processor",
    )
    said = stage.node1.run(
        "uname -r; cat /sys/module/drbd/version; virsh --version; qemu-system-x86_64 --version"
    ).stdout.splitlines()
    load = os.getloadavg()[2]
    return [
        f"{model}, {os.cpu_count()} cores; a load of {load:.1f} over the last 15 minutes",
        f"Linux {os.uname().release}; in the nodes Linux {said[0]}, DRBD {said[1]}, "
        f"libvirt {said[2]}, {said[3].partition('(')[0].strip()} (TCG)",
    ]


if __name__ == "__main__":
    sys.exit(main())
