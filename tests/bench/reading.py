"""Rows about looking at many VMs, changing one of them, and the start of the command itself."""

from tests.bench.row import Row, alternate
from tests.bench.stage import Stage
from tests.lab.lab import side_by_side

FEW, MANY, MOST = 10, 100, 1000
ROUNDS = 1
VIRSH = "virsh list --all"


def start(stage: Stage) -> list[Row]:
    """The least that a command can take."""
    node = stage.node1
    ours, reference = alternate(
        lambda: stage.spent(node, "mcv --version"), lambda: stage.spent(node, "python3 -c pass"), 15
    )
    return [
        Row(
            "mcv --version",
            "The start of the command, and `python3 -c pass`.",
            tuple(ours),
            tuple(reference),
            bound=2,
        )
    ]


def many(stage: Stage) -> list[Row]:
    """Seconds of each thing with each number of VMs; the numbers take turns."""
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for count in (MOST, MANY, FEW):
            seed(stage, count)
            for what, seconds in _measured(stage, count):
                times.setdefault((what, count), []).append(seconds)
    seed(stage, 0)
    return _rows({key: tuple(seconds) for key, seconds in times.items()})


def seed(stage: Stage, count: int) -> None:
    """Give the document so many VMs in one change on both nodes, and libvirt their domains."""
    for node in stage.nodes:
        node.run("systemctl kill --signal=KILL mcvd; systemctl stop mcvd", check=False)
    hashes = set(side_by_side(lambda node: stage.inside(node, f"seed {count}"), stage.nodes))
    assert len(hashes) == 1, hashes
    stage.inside(stage.node1, f"define {count}")
    for node in stage.nodes:
        node.run("systemctl reset-failed mcvd; systemctl start mcvd", timeout=120)
    stage.wait_until_in_touch()


def _measured(stage: Stage, count: int) -> list[tuple[str, float]]:
    node, found = stage.node1, []
    for _ in range(5 if count > FEW else 0):
        for command in ("mcv list", "mcv info", VIRSH):
            found.append((command, stage.spent(node, command)))
    if count != MANY:
        said = stage.inside(node, "change vm0000 5").split()
        found += [("change", float(seconds)) for seconds in said]
    return found


def _rows(times: dict[tuple[str, int], tuple[float, ...]]) -> list[Row]:
    rows = []
    for command in ("mcv list", "mcv info"):
        rows.append(
            Row(
                f"{command}, {MANY} VMs",
                f"`{command}` with {MANY} VMs, and `{VIRSH}` of the same.",
                times[command, MANY],
                times[VIRSH, MANY],
                bound=5,
            )
        )
        rows.append(
            Row(
                f"{command}, {MOST} VMs",
                f"`{command}` with {MOST} VMs, and itself with {MANY}.",
                times[command, MOST],
                times[command, MANY],
                bound=2,
            )
        )
    rows.append(
        Row(
            f"a change, {MOST} VMs",
            f"A VM locked or unlocked, asked of mcvd, with {MOST} VMs in the document and with "
            f"{FEW}, without the start of a process.",
            times["change", MOST],
            times["change", FEW],
            bound=1.5,
        )
    )
    return rows
