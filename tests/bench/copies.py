"""Rows about disks of one node: a VM that is stopped moves by a copy of its disk."""

import re
from functools import partial

from tests.bench.moves import there_and_back
from tests.bench.row import Row
from tests.bench.stage import PATIENCE, Stage
from tests.lab import Node, reality
from tests.lab.cluster import mcv

VM, FILLED, WHOLE = "bench", 256, 1024  # MiB
POOL, BY_HAND, PORT = "/var/lib/mcv/pool", "/var/tmp/by-hand.qcow2", 10809

IMAGE = f"""
    dd if=/dev/urandom of=/root/bench.img bs=1M count={FILLED} status=none
    truncate -s {WHOLE}M /root/bench.img
"""
SERVE = f"""
    rm -f {BY_HAND} && qemu-img create -q -f qcow2 {BY_HAND} {WHOLE}M
    qemu-nbd --fork --persistent --bind=0.0.0.0 --port={PORT} --format=qcow2 --cache=none \
        --discard=unmap --detect-zeroes=unmap {BY_HAND}
"""
AWAY = f"""
    pkill -x qemu-nbd; while pgrep -x qemu-nbd; do sleep 0.05; done > /dev/null; rm {BY_HAND}
"""
# What the command tells, each line with the time at which it came.
TIMED = """
    mcv -v migrate --node {to} {vm} 2>&1 < /dev/null |
    while IFS= read -r line; do echo "$EPOCHREALTIME $line"; done
"""
COPYING = r"^([\d.]+) copy disk 1 "


def offline(stage: Stage) -> list[Row]:
    """A VM with a disk in a directory, there and back by mcv; its file by qemu-img beside it."""
    stage.node1.run(IMAGE, timeout=300)
    options = "--image /root/bench.img --image-format raw --storage file"
    mcv(stage.node1, f"create {VM} --memory 16MiB {options}", timeout=300)
    copied, compared = _measured(stage)
    stage.delete(VM)
    disk = f"a qcow2 file of {WHOLE} MiB, {FILLED} of them random bytes"
    by_hand = f"over plain TCP, to a `qemu-nbd` on the other node that serves {disk}"
    return [
        Row(
            "copy, offline",
            f"The bytes of {disk} on their way in `mcv migrate` of a stopped VM, from the first "
            f"to the last that it tells of; and `qemu-img convert -n -W` {by_hand}.",
            *copied,
            bound=0.9,
            is_speed=True,
        ),
        Row(
            "copy, offline, compared",
            "The whole of that `mcv migrate`, both sides read again and compared; and the same "
            "`qemu-img convert` and a `qemu-img compare`, which reads the other side over TCP.",
            *compared,
            bound=3,
        ),
    ]


Times = tuple[tuple[float, ...], tuple[float, ...]]


def _measured(stage: Stage) -> tuple[Times, Times]:
    """Seconds of mcv and by hand: of the copies alone, and of moves and comparisons."""
    copies: list[float] = []
    convert: list[float] = []

    def ours(old: Node, new: Node) -> float:
        said = old.run(TIMED.format(to=new.name, vm=VM), timeout=PATIENCE).stdout
        lines = said.splitlines()
        copies.append(_between(lines, COPYING))
        return float(lines[-1].split()[0]) - float(lines[0].split()[0])

    def by_hand(old: Node, new: Node) -> float:
        copied, compared = _by_hand(stage)
        convert.append(copied)
        return copied + compared

    moves = there_and_back(stage, ours, by_hand, rounds=2)
    return (tuple(copies), tuple(convert)), moves


def _between(lines: list[str], pattern: str) -> float:
    """Seconds from the first line of a kind to the last."""
    times = [float(found.group(1)) for line in lines if (found := re.search(pattern, line))]
    assert len(times) > 1, lines
    return times[-1] - times[0]


def _by_hand(stage: Stage) -> tuple[float, float]:
    """The file where the VM is now, to the other node: daemons that stand still keep it so."""
    (disk,) = reality.document(stage.node1)["vms"][VM]["disks"]
    source, target = sorted(stage.nodes, key=lambda node: node.name not in disk["places"])
    target.run(SERVE)
    file, way = f"{POOL}/{disk['volume']}", f"nbd://{target.name}:{PORT}"
    seconds = partial(_qemu_img, stage, source)
    copied = seconds(f"convert -n -W --target-is-zero -t none -T none -f qcow2 -O raw {file} {way}")
    compared = seconds(f"compare -T none -f qcow2 -F raw {file} {way}")
    target.run(AWAY)
    return copied, compared


def _qemu_img(stage: Stage, node: Node, words: str) -> float:
    return stage.spent(node, f"qemu-img {words}")
