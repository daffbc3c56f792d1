"""What operations may rely on in the bridges of a host: br-lan is one, lo is none."""

from mcv.drivers.bridge import Bridges


def a_bridge_exists(bridges: Bridges) -> None:
    assert bridges.exists("br-lan") is True


def what_is_not_there_does_not_exist(bridges: Bridges) -> None:
    assert bridges.exists("br-nowhere") is False
    assert bridges.exists("") is False


def a_device_of_another_kind_is_no_bridge(bridges: Bridges) -> None:
    assert bridges.exists("lo") is False
    assert "lo" not in bridges.list()


def bridges_are_listed_by_name_in_their_order(bridges: Bridges) -> None:
    listed = bridges.list()

    assert "br-lan" in listed and len(listed) > 1
    assert listed == sorted(listed)
