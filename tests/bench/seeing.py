"""A row about `mcv top` and `mcv events --follow`: what one reader of each costs mcvd."""

import shlex
import subprocess
from pathlib import Path

from tests.bench.reading import MANY, seed
from tests.bench.row import Row, alternate
from tests.bench.stage import PATIENCE, Stage
from tests.lab.cluster import mcv

YARDSTICK = Path(__file__).parent / "yardstick.py"
RUNNING = 10  # guests that a node of the lab has memory for
WINDOW = 40  # s that are measured at once
LEAD = 8  # s for the start of the readers
ALLOWED = 0.01  # of a core
TICK = 0.01  # s, of /proc/PID/stat

READERS = (
    "env TERM=linux script --quiet --return --command 'mcv top' /dev/null",
    "mcv events --follow",
)
PID = "$(systemctl show --property MainPID --value mcvd)"
SPENT = f"set -- $(cat /proc/{PID}/stat); echo $((${{14}} + ${{15}}))"


def watched(stage: Stage) -> list[Row]:
    """Seconds of a processor that mcvd takes in a window, read and not read, in turn."""
    seed(stage, MANY)
    running = [f"vm{number:04d}" for number in range(RUNNING)]
    mcv(stage.node1, f"start {' '.join(running)}", timeout=PATIENCE)
    mcv(stage.node1, f"pause {' '.join(running)}", timeout=PATIENCE)
    slower = _slower(stage)
    ours, reference = alternate(lambda: _spent(stage, *READERS), lambda: _spent(stage), 3)
    mcv(stage.node1, f"stop {' '.join(running)} --yes", timeout=PATIENCE)
    seed(stage, 0)
    return [
        Row(
            f"top and events, {MANY} VMs",
            f"Processor time of mcvd in {WINDOW} s in which `mcv top` and `mcv events --follow` "
            f"read, and in as long without them and {100 * ALLOWED:g} % of a core of this machine "
            f"more; {MANY} VMs, {RUNNING} of which have a domain that is active.",
            tuple(ours),
            tuple(idle + ALLOWED * WINDOW * slower for idle in reference),
            bound=1,
            note=f"The same threads, socket calls and JSON cost a node {slower:.1f} times the "
            "processor time that they cost this machine; the allowance is as much longer.",
        )
    ]


def _spent(stage: Stage, *readers: str) -> float:
    """Seconds of a processor that mcvd of node1 takes in a window, while these commands run."""
    seconds = LEAD + WINDOW + LEAD
    begun = "".join(f"timeout {seconds} {reader} > /dev/null < /dev/null &\n" for reader in readers)
    measured = f"sleep {LEAD}; {SPENT}; sleep {WINDOW}; {SPENT}"
    script = f"{begun}{measured}; jobs -rp | wc -l; kill $(jobs -p); wait"
    said = stage.node1.run(f"bash -c {shlex.quote(script)}", timeout=PATIENCE, check=False).stdout
    before, after, reading = map(int, said.split())
    assert reading == len(readers), said
    return (after - before) * TICK


def _slower(stage: Stage) -> float:
    """How many times the processor time of this machine the same work costs a node, at least."""
    stage.node1.put(YARDSTICK.read_bytes(), "/root/yardstick.py")
    command = ["/usr/bin/python3", "-I"]
    ours, reference = alternate(
        lambda: float(stage.node1.run(f"{' '.join(command)} /root/yardstick.py").stdout),
        lambda: float(subprocess.check_output([*command, str(YARDSTICK)])),
        3,
    )
    return min(ours) / max(reference)
