"""Rows about migration: of a VM that is stopped, one that is started there, one that runs."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from tests.bench.row import Row
from tests.bench.stage import PATIENCE, Stage
from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import mcv

VM, RESOURCE = "bench", "mcv-bench-1"
FILLED = 64  # MiB
WANTED, LESS = 512, 192  # MiB
MAPS = Path("/proc/sys/vm/max_map_count")

TOO_FEW = (
    f"A guest of {WANTED} MiB takes more mappings of memory than vm.max_map_count allows a "
    f"process of a node on this machine (more than {2 * WANTED * 256} are needed)."
)

Way = Callable[[Node, Node], float]


def offline(stage: Stage) -> list[Row]:
    """A VM that is stopped, there and back by either hand."""
    stage.create(VM, "")
    still = there_and_back(
        stage,
        lambda old, new: stage.spent(old, f"mcv migrate --node {new.name} {VM}"),
        lambda old, new: _by_hand(stage, old, new, start=False),
        rounds=2,
    )
    started = there_and_back(
        stage,
        lambda old, new: _started(stage, old, new),
        lambda old, new: _by_hand(stage, old, new, start=True),
        rounds=1,
    )
    stage.delete(VM)
    compared = "`mcv migrate` of a stopped VM, and virsh define, drbdadm secondary, virsh undefine"
    return [
        Row("migrate, offline", f"{compared}, by hand.", *still, bound=2),
        Row(
            "migrate, offline, and start",
            f"{compared}, drbdadm primary and virsh start by hand; mcv with "
            "`--start-after-migration`.",
            *started,
            bound=2,
        ),
    ]


def there_and_back(
    stage: Stage, ours: Way, by_hand: Way, rounds: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds of every move; by hand there and back again, so that the document stays right."""
    made, reference = [], []
    for _ in range(rounds):
        for old, new in ((stage.node1, stage.node2), (stage.node2, stage.node1)):
            made.append(ours(old, new))
        with stage.by_hand():
            for old, new in ((stage.node1, stage.node2), (stage.node2, stage.node1)):
                reference.append(by_hand(old, new))
    return tuple(made), tuple(reference)


def _started(stage: Stage, old: Node, new: Node) -> float:
    spent = stage.spent(old, f"mcv migrate --node {new.name} --start-after-migration {VM}")
    mcv(new, f"stop {VM}")
    wait_until(lambda: _role(new) == "Secondary", 60, "the role to be given back")
    return spent


def _by_hand(stage: Stage, old: Node, new: Node, start: bool) -> float:
    file = f"/root/{VM}.xml"
    spent = stage.spent(old, f"virsh dumpxml --inactive {VM} > {file}")
    new.put(old.run(f"cat {file}").stdout, file)
    spent += stage.spent(new, f"virsh define {file}")
    spent += stage.spent(old, f"drbdadm secondary {RESOURCE}")
    if start:
        spent += stage.spent(new, f"drbdadm primary {RESOURCE} && virsh start {VM}")
    spent += stage.spent(old, f"virsh undefine {VM}")
    if start:
        new.run(f"virsh destroy {VM} && drbdadm secondary {RESOURCE}")
    return spent


def live(stage: Stage) -> list[Row]:
    """A VM that runs and writes its memory all the time."""
    memory = memory_of_guest(int(MAPS.read_text()))
    stage.node1.put(guests.toucher(FILLED), "/root/bench.img")
    mcv(
        stage.node1,
        f"create {VM} --memory {memory}MiB --disk 8MiB --image /root/bench.img --network lan",
    )
    mcv(stage.node1, f"start {VM}")
    wait_until(lambda: _resident(stage.node1) > FILLED, PATIENCE, "the guest's memory to be full")
    times = there_and_back(
        stage,
        lambda old, new: _live(stage, old, new),
        lambda old, new: _live_by_hand(stage, old, new),
        rounds=1,
    )
    mcv(stage.node1, f"stop {VM}")
    stage.delete(VM)
    return [
        Row(
            "migrate, live",
            "`vm.migrate_live` asked of mcvd, and two primaries, `drbdadm primary`, `virsh "
            "migrate --live --persistent --undefinesource` over libvirt's plain TCP, `drbdadm "
            "secondary` and `adjust` by hand, without the start of mcv's and of virsh's process; "
            f"{memory} MiB, {FILLED} of them filled and touched over and over.",
            *times,
            bound=1.3,
            note="" if memory == WANTED else TOO_FEW,
        )
    ]


def memory_of_guest(maps: int) -> int:
    """MiB that a guest may have on this machine.

    QEMU reads every page of the guest when it sends it, and each page that a program of a node
    has in use is a mapping of its process here: past the limit the program is killed.
    """
    return WANTED if maps > 2 * WANTED * 256 else LESS


def _live(stage: Stage, old: Node, new: Node) -> float:
    params = json.dumps({"name": VM, "to": new.name})
    return float(stage.inside(old, f"run vm.migrate_live '{params}'"))


def _live_by_hand(stage: Stage, old: Node, new: Node) -> float:
    spent = stage.spent_on_both(f"drbdadm net-options --allow-two-primaries=yes {RESOURCE}")
    spent += stage.spent(new, f"drbdadm primary {RESOURCE}")
    said = old.run(
        f"virsh --timing migrate --live --persistent --undefinesource {VM} "
        f"qemu+tcp://{new.name}/system",
        timeout=PATIENCE,
    ).stdout
    timed = re.search(r"\(Time: ([\d.]+) ms\)", said)
    assert timed is not None, said
    spent += float(timed.group(1)) / 1000
    spent += stage.spent(old, f"drbdadm secondary {RESOURCE}")
    return spent + stage.spent_on_both(f"drbdadm adjust {RESOURCE}")


def _role(node: Node) -> str:
    view = reality.drbd(node, RESOURCE)
    return view.role if view else ""


def _resident(node: Node) -> int:
    """MiB that the guest's QEMU holds."""
    return int(node.run("ps -C qemu-system-x86 -o rss=").stdout.split()[0]) // 1024
