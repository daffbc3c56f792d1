"""The row about a change behind either door: by all members, and by a majority of etcd."""

from tests.bench.row import Row
from tests.bench.stage import INSIDE, Stage
from tests.lab import cluster, wait_until
from tests.lab.lab import side_by_side

VM = "bench"
TIMES, ROUNDS = 6, 2


def either(stage: Stage) -> list[Row]:
    """Three nodes, whose document moves there and back, so that both are measured in turn."""
    nodes = stage.lab.up(3)
    side_by_side(cluster.reset, nodes)
    cluster.join(nodes)
    nodes[1].put(INSIDE.read_bytes(), "/root/inside.py")
    cluster.mcv(nodes[1], f"create {VM} --memory 16MiB --node {nodes[1].name}")
    unanimous: list[float] = []
    in_etcd: list[float] = []
    for _ in range(ROUNDS):
        unanimous += _changes(stage)
        _move(stage, "etcd")
        in_etcd += _changes(stage)
        _move(stage, "unanimous")
    side_by_side(cluster.reset, nodes)
    nodes[2].kill()
    stage.clean()
    return [
        Row(
            "a change, in etcd",
            "A VM locked or unlocked, asked of mcvd on the second of three nodes, by etcd and by "
            "unanimous agreement, without the start of a process.",
            tuple(in_etcd),
            tuple(unanimous),
            bound=1.5,
        )
    ]


def _changes(stage: Stage) -> list[float]:
    said = stage.inside(stage.node2, f"change {VM} {TIMES}").split()
    return [float(seconds) for seconds in said]


def _move(stage: Stage, where: str) -> None:
    nodes = stage.lab.up(3)
    cluster.mcv(nodes[1], f"cluster store {where} --yes", timeout=180)
    wait_until(lambda: cluster.in_contact(nodes), 60, "the nodes to be in contact")
