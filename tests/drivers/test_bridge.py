"""Which devices of a host are bridges."""

from pathlib import Path

from mcv.drivers.bridge import Bridges


def host(root: Path) -> Bridges:
    (root / "sys/class/net/br1/bridge").mkdir(parents=True)
    (root / "sys/class/net/br0/bridge").mkdir(parents=True)
    (root / "sys/class/net/eth0").mkdir(parents=True)
    return Bridges(root)


def test_bridges_are_told_from_other_devices(tmp_path: Path) -> None:
    bridges = host(tmp_path)

    assert bridges.list() == ["br0", "br1"]
    assert bridges.exists("br0")
    assert not bridges.exists("eth0")
    assert not bridges.exists("br2")


def test_a_name_is_no_path(tmp_path: Path) -> None:
    bridges = host(tmp_path)

    assert not bridges.exists("")
    assert not bridges.exists("../net/br0")


def test_a_host_without_bridges_has_none(tmp_path: Path) -> None:
    assert Bridges(tmp_path).list() == []
