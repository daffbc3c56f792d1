"""The benchmark's results as text: a table, the page that holds it, and a plot."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.bench.row import Row

HEADINGS = ("row", "mcv", "reference", "ratio", "bound", "holds")

LINE, BAR = 30, 14  # pixels from row to row, and of a bar's height
LABEL, PLOT, END = 270, 420, 130  # pixels of the labels, of the bars, of what stands after them
FULL = 1.5  # the end of the plot, in bounds
GOOD, BAD, INK = "#3b7a57", "#b3402f", "#333333"


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, which a terminal shows as well."""
    lines = [HEADINGS, tuple("-" * len(one) for one in HEADINGS), *map(_cells, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADINGS))]
    return "\n".join(_line(line, widths) for line in lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    times = (f"{seconds:.3g} s" for seconds in row.compared_times)
    return (row.name, *times, f"{row.ratio:.2f}", row.limit, "yes" if row.holds else "NO")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    fill = "-" if set(cells[0]) == {"-"} else " "
    padded = (cell.ljust(width, fill) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def verdict(rows: Sequence[Row]) -> str:
    """One sentence: whether all bounds hold, or which do not."""
    missed = [row.name for row in rows if not row.holds]
    if not missed:
        return f"All {len(rows)} bounds hold."
    return f"{len(missed)} of {len(rows)} bounds do not hold: {', '.join(missed)}."


def page(rows: Sequence[Row], machine: Sequence[str]) -> str:
    """docs/bench/README.md."""
    compared = "\n".join(f"- **{row.name}**: {_sentence(row)}" for row in rows)
    facts = "\n".join(f"- {fact}" for fact in machine)
    return f"""# How fast mcv is

Written by `make bench`: each operation beside the commands that do the same by hand, measured
in turn in one run. The times are the best of several, or their median where that is said.

{table(rows)}
{verdict(rows)}

![The ratios against their bounds](ratios.svg)

## What was compared

{compared}

## The machine

{facts}

The nodes are user-mode Linux: whole kernels with real DRBD, LVM, libvirt and QEMU, as processes
of this machine, one processor each, without KVM. A system call and the start of a process cost
many times what they do on a host, and a node's processor shares the machine's with the other's.
So the seconds say little about a real cluster; the ratios compare two things under the same
conditions. Where work is mostly Python and the reference mostly C, or the other way round,
real hosts give other ratios too.
"""


def _sentence(row: Row) -> str:
    ratio = "throughput" if row.is_speed else "time"
    ratio = f"{ratio}, by the median" if row.is_median else ratio
    note = f" {row.note}" if row.note else ""
    runs = ", ".join(
        f"{who} {' '.join(f'{one:.3g}' for one in seconds)}"
        for who, seconds in (("mcv", row.ours), ("reference", row.reference))
    )
    return f"{row.compared} Ratio of {ratio}.{note} Seconds: {runs}."


def svg(rows: Sequence[Row]) -> str:
    """A bar for each row: its ratio, drawn so that all bounds stand on one line."""
    height = LINE * (len(rows) + 2)
    bound_x = LABEL + PLOT / FULL
    bars = "\n".join(_bar(row, LINE * (at + 1)) for at, row in enumerate(rows))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{LABEL + PLOT + END}" \
height="{height}" font-family="sans-serif" font-size="13" fill="{INK}">
<rect width="100%" height="100%" fill="white"/>
{bars}
<line x1="{bound_x:.1f}" y1="{LINE - 6}" x2="{bound_x:.1f}" y2="{height - LINE + 2}" \
stroke="{INK}" stroke-dasharray="4 3"/>
<text x="{bound_x:.1f}" y="{LINE - 12}" text-anchor="middle">the bound</text>
<text x="{LABEL}" y="{height - 10}">left of the line is within it; a throughput is drawn as its \
inverse</text>
</svg>
"""


def _bar(row: Row, top: int) -> str:
    share = row.bound / row.ratio if row.is_speed else row.ratio / row.bound
    width = PLOT * min(share, FULL) / FULL
    middle = top + BAR - 3
    return (
        f'<text x="{LABEL - 8}" y="{middle}" text-anchor="end">{escape(row.name)}</text>\n'
        f'<rect x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" '
        f'fill="{GOOD if row.holds else BAD}"/>\n'
        f'<text x="{LABEL + PLOT + 8}" y="{middle}">'
        f"{row.ratio:.2f}, {escape(row.limit)}</text>"
    )
