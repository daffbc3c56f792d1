"""The row about making a VM with a replicated disk."""

from itertools import count

from tests.bench.row import Row, alternate
from tests.bench.stage import Stage
from tests.lab import cluster
from tests.lab.lab import side_by_side

HAND = "by-hand"
MINOR, PORT = 500, 8300
LV = f"/dev/vg0/{HAND}"

# Made of the file that mcv wrote for a VM of the same size.
FILE = f"""
    sed -E 's/mcv-model-1/{HAND}/; s/minor [0-9]+/minor {MINOR}/; s/drbd[0-9]+/drbd{MINOR}/
        s/(address.*):[0-9]+/\\1:{PORT}/' /etc/drbd.d/mcv-model-1.res > /etc/drbd.d/{HAND}.res
"""
ON_BOTH = f"""
    set -e
    lvcreate --yes --wipesignatures n --size 260M --name {HAND} vg0
    blkdiscard -z {LV}
    drbdadm --force create-md {HAND}
    drbdadm up {HAND}
"""
ON_ONE = f"""
    set -e
    drbdadm wait-connect {HAND}
    drbdsetup new-current-uuid {MINOR} --clear-bitmap
    drbdadm primary {HAND}
"""
AWAY = f"drbdsetup down {HAND}; lvremove --yes --force --quiet {LV} > /dev/null"


def birth(stage: Stage) -> list[Row]:
    numbers = count(1)
    stage.create("model", "")
    for node in stage.nodes:
        node.run(FILE)

    def ours() -> float:
        name = f"bench{next(numbers)}"
        command = f"mcv create {name} --memory 16MiB --disk 256MiB"
        spent = stage.spent(stage.node1, command)
        cluster.mcv(stage.node1, f"delete {name} --yes")
        return spent

    def by_hand() -> float:
        spent = stage.spent_on_both(ON_BOTH) + stage.spent(stage.node1, ON_ONE)
        side_by_side(lambda node: node.run(AWAY), stage.nodes)
        return spent

    made, reference = alternate(ours, by_hand, 4)
    for node in stage.nodes:
        node.run(f"rm /etc/drbd.d/{HAND}.res")
    stage.delete("model")
    return [
        Row(
            "create",
            "`mcv create` with a DRBD disk of 256 MiB, and lvcreate, blkdiscard -z, create-md, up "
            "(on both nodes at once), wait-connect, new-current-uuid and primary by hand.",
            tuple(made),
            tuple(reference),
            bound=3,
        )
    ]
