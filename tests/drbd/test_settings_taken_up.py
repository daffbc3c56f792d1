"""The cluster's DRBD settings: into every resource's file, and from there into the kernel."""

from dataclasses import replace
from pathlib import Path

import pytest

from mcv.drbd import enable, roles
from mcv.vm import create
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"


@pytest.fixture
def adjusted(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """web1 on both nodes; what is adjusted from now on, by node."""
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    told: list[str] = []
    for node, door in cluster.drbd.items():

        def note(resource: str, node: str = node) -> None:
            cluster.drbd[node]._may("adjust", resource)
            told.append(node)

        monkeypatch.setattr(door, "adjust", note)
    for host in cluster.hosts.values():
        enable.adjust(host)
    return told


def change(cluster: FakeCluster) -> None:
    cluster.run("n1", enable.set_, values={"resync-rate": "40MiB", "verify-rate": "20MiB"})


def turn(cluster: FakeCluster) -> None:
    for host in cluster.hosts.values():
        enable.adjust(host)


def text(cluster: FakeCluster, node: str) -> str:
    return (cluster.hosts[node].settings.drbd_directory / f"{RESOURCE}.res").read_text()


def test_a_new_rate_is_taken_up_by_every_node_once(
    cluster: FakeCluster, adjusted: list[str]
) -> None:
    change(cluster)
    for _ in range(2):
        turn(cluster)

    assert adjusted == ["n1", "n2"]
    for node in ("n1", "n2"):
        assert "resync-rate 40960K;" in text(cluster, node)


def test_what_could_not_be_taken_up_is_tried_again(
    cluster: FakeCluster, adjusted: list[str]
) -> None:
    cluster.drbd["n1"].broken.add("adjust")
    change(cluster)
    turn(cluster)
    assert adjusted == ["n2"]

    cluster.drbd["n1"].broken.clear()
    turn(cluster)

    assert adjusted == ["n2", "n1"]


@pytest.mark.parametrize("how", ["disconnect", "detach"])
def test_what_is_parted_or_detached_gets_the_file_and_stays_so(
    cluster: FakeCluster, adjusted: list[str], how: str
) -> None:
    getattr(cluster.drbd["n2"], how)(RESOURCE)

    change(cluster)
    turn(cluster)

    assert adjusted == ["n1"]
    assert "resync-rate 40960K;" in text(cluster, "n2")


def test_a_file_that_a_new_daemon_writes_anew_is_taken_up(
    cluster: FakeCluster, adjusted: list[str]
) -> None:
    path = cluster.hosts["n1"].settings.drbd_directory / f"{RESOURCE}.res"
    path.write_text("# of an older mcv\n device /dev/drbd100 minor 100;\n")

    host = cluster.boot("n1")
    cluster.look("n1")
    roles.bring_up(host)
    enable.adjust(host)

    assert adjusted == ["n1"]


def test_another_path_of_the_handler_is_written_and_taken_up_after_a_restart(
    cluster: FakeCluster, adjusted: list[str]
) -> None:
    host = cluster.hosts["n1"]
    host.settings = replace(host.settings, drbd_handler=Path("/usr/lib/mcv/handler"))
    host.adjusted = ""  # what a daemon that starts does not know

    roles.bring_up(host)
    enable.adjust(host)

    state = host.settings.state
    assert f'"/usr/lib/mcv/handler fence-peer {state}"' in text(cluster, "n1")
    assert adjusted == ["n1"]
