"""What the lab uses of its machine: half-made things, forbidden places, the moment of a start."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import LabError, Node, host
from tests.lab.host import TREE, Network, Place, run
from tests.lab.image import Image


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network(f"mcvtest-{os.getpid()}")
    yield network
    network.down()


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node none of whose processes is to be told by its arguments, as while one is starting."""
    monkeypatch.setattr(host, "processes", lambda *_: [])
    place = Place(tmp_path, f"mcvtest-{os.getpid()}")
    return Node(1, place, Network(place.namespace), Image(tmp_path))


@pytest.fixture
def noexec(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system from which nothing may be run."""
    directory = tmp_path / "noexec"
    directory.mkdir()
    run("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", directory)
    yield directory
    run("umount", directory)


def bridges(network: Network) -> str:
    return run(*network.inside, "ip", "-brief", "address", "show", "up", "type", "bridge")


def test_a_network_that_was_made_half_way_is_made_anew(network: Network) -> None:
    run("ip", "netns", "add", network.namespace)
    run("ip", "-n", network.namespace, "link", "add", "br0", "type", "bridge")

    network.up()

    assert "10.99.0.254/24" in bridges(network)


def test_a_network_that_is_whole_stays(network: Network) -> None:
    network.up()
    network.plug(1)

    network.up()

    assert "tap1" in run(*network.inside, "ip", "-brief", "link", "show")


def test_a_network_is_made_where_proc_sys_is_read_only(network: Network) -> None:
    only_read = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"
    code = f"""if True:
        from tests.lab.host import Network, run
        network = Network({network.namespace!r})
        network.up()
        print(run(*network.inside, "cat", "/proc/sys/net/ipv4/ip_forward"))
    """
    line = f'{only_read} && cd {TREE} && exec "$@"'

    seen = run("unshare", "--mount", "sh", "-c", line, "sh", sys.executable, "-c", code)

    assert seen.split() == ["0"]


def test_a_node_runs_while_the_process_that_was_started_for_it_does(node: Node) -> None:
    assert not node.is_running
    node._process = subprocess.Popen(["sleep", "60"])

    assert node.is_running

    node._process.kill()
    node._process.wait()
    assert not node.is_running


def test_a_node_that_is_killed_while_it_starts_is_dead(node: Node) -> None:
    node._process = subprocess.Popen(["sleep", "60"])

    node.kill()

    assert node._process.returncode == -9
    assert not node.is_running


def test_waiting_for_a_node_ends_with_its_process_and_not_before(node: Node) -> None:
    node._process = subprocess.Popen(["sleep", "2"])
    began = time.monotonic()

    with pytest.raises(LabError, match="did not come up"):
        node.wait()

    assert 2 <= time.monotonic() - began < 20


def test_memory_that_may_not_be_executed_is_not_used(
    noexec: Path, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host.why_not_in_memory(1 << 20) is None
    monkeypatch.setattr(host, "SHM", noexec)

    assert f"remount,exec {noexec}" in str(host.why_not_in_memory(1 << 20))
    assert node._memory_place() == {"TMPDIR": str(node.directory.parent / "uml")}


def test_a_lab_is_refused_where_nothing_may_be_run(noexec: Path, tmp_path: Path) -> None:
    host.require_executable(tmp_path)

    with pytest.raises(LabError, match=r"mounted noexec.*LAB="):
        host.require_executable(noexec)
