"""Rows about replicas: verification and resync, by what the kernel says of its own work."""

from tests.bench.row import Row, alternate
from tests.bench.stage import Stage
from tests.lab.cluster import mcv

VM, RESOURCE = "bench", "mcv-bench-1"
MOST = 60.0  # seconds that DRBD's defaults are given for 256 MiB
FILL = f"dd if=/dev/zero of=$(drbdadm sh-dev {RESOURCE}) bs=1M count=256 oflag=direct status=none"

# The same resource with all that mcv sets taken away but what both sides must agree on. What
# `adjust` does not find in a file it sets back to DRBD's default.
DEFAULTS = f"""
    sed -E '/handlers \\{{/,/\\}}/d
        /(max-|ping-|socket-|after-sb|rr-|on-io|c-plan|c-min|resync-rate|fencing)/d' \\
        /etc/drbd.d/{RESOURCE}.res > /root/defaults.res
"""
BY_DEFAULT = "drbdadm --config-file /root/defaults.res"


def verification(stage: Stage) -> list[Row]:
    """The same volume, at the rate that mcv sets for it."""
    stage.create(VM, "")
    stage.wait_until_well(RESOURCE)
    rate = "200M"

    def bare() -> float:
        stage.node1.run(f"drbdadm disk-options --resync-rate={rate} {RESOURCE}")
        verify = f"drbdadm verify {RESOURCE}"
        return stage.work_of_the_kernel(RESOURCE, lambda: stage.node1.run(verify))

    ours, reference = alternate(
        lambda: stage.work_of_the_kernel(RESOURCE, lambda: mcv(stage.node1, f"verify {VM}")),
        bare,
        5,
    )
    stage.delete(VM)
    return [
        Row(
            "verify",
            "`mcv verify` of a volume of 256 MiB, and `drbdadm verify` of the same at the same "
            "rate; from the first block to the last, by DRBD's own events.",
            tuple(ours),
            tuple(reference),
            bound=0.95,
            is_speed=True,
        )
    ]


def synchronisation(stage: Stage) -> list[Row]:
    """256 MiB under mcv's settings and under DRBD's own."""
    stage.create(VM, "")
    stage.wait_until_well(RESOURCE)
    for node in stage.nodes:
        node.run(DEFAULTS)
    rows = []
    for name, compared, way in (
        ("initial sync", "a whole volume of 256 MiB (`drbdadm invalidate-remote`)", _whole),
        ("resync", "256 MiB that were written while the replicas were parted", _parted),
    ):
        ours = [way(stage, "drbdadm") for _ in range(2)]
        for node in stage.nodes:
            node.run(f"{BY_DEFAULT} adjust {RESOURCE}")
        reference = way(stage, BY_DEFAULT)
        for node in stage.nodes:
            node.run(f"drbdadm adjust {RESOURCE}")
        stage.wait_until_well(RESOURCE)
        ours.append(way(stage, "drbdadm"))
        note = f"The defaults were given up after {MOST:.0f} s." if reference >= MOST else ""
        rows.append(
            Row(
                name,
                f"{compared}, under mcv's settings and under DRBD's defaults.",
                tuple(ours),
                (reference,),
                bound=5,
                is_speed=True,
                note=note,
            )
        )
    stage.delete(VM)
    return rows


def _whole(stage: Stage, drbdadm: str) -> float:
    begin = f"{drbdadm} invalidate-remote {RESOURCE}"
    spent = stage.work_of_the_kernel(RESOURCE, lambda: stage.node1.run(begin), MOST)
    if spent < MOST:
        stage.wait_until_well(RESOURCE)
    return spent


def _parted(stage: Stage, drbdadm: str) -> float:
    stage.node1.run(
        f"{drbdadm} disconnect {RESOURCE} && {drbdadm} primary {RESOURCE} && {FILL}", timeout=300
    )
    begin = f"{drbdadm} connect {RESOURCE}"
    spent = stage.work_of_the_kernel(RESOURCE, lambda: stage.node1.run(begin), MOST)
    if spent < MOST:
        stage.wait_until_well(RESOURCE)
    stage.node1.run(f"{drbdadm} secondary {RESOURCE}")
    return spent
