"""Fence devices, the plugs that nodes hang on, and which of them were tested."""

from typing import Any

import pytest

from mcv.document.fence_changes import reached_by
from mcv.document.fencing import FenceDevice, Plug
from mcv.document.model import Cluster, decode, encode
from mcv.errors import McvError, NotFound, Refused
from tests.documents import after, by, document, of_schema

WHEN = "2026-03-01T12:00:00Z"
BMC = {"agent": "fence_ipmilan", "parameters": {"ip": "192.0.2.1"}, "secrets": ["password"]}


def device(base: Cluster, name: str, new: bool = True, **values: Any) -> Cluster:
    return after(base, "fence.device", name=name, device={**BMC, **values}, new=new)


def level(base: Cluster, node: str, number: int, *plugs: str) -> Cluster:
    wanted = [plug.partition(":")[::2] for plug in plugs]
    return after(base, "fence.level", name=node, level=number, plugs=list(map(list, wanted)))


def passed(base: Cluster, node: str, *plugs: str, when: str = WHEN) -> Cluster:
    wanted = [list(plug.partition(":")[::2]) for plug in plugs]
    devices = {name: reached_by(base.fence_devices[name]) for name, _ in wanted}
    return after(
        base, "fence.tested", name=node, plugs=wanted, when=when, seconds=3, devices=devices
    )


def words(base: Cluster, node: str) -> list[list[str]]:
    """A node's plugs, those that were tested with a star."""
    return [
        [f"{plug.device}:{plug.port}{'*' if plug.tested else ''}" for plug in each]
        for each in base.node(node).levels
    ]


BASE = device(device(document("n1", "n2", "n3"), "pdu"), "bmc1", secret_id="0123456789abcdef")
SET = level(level(BASE, "n1", 1, "bmc1"), "n1", 2, "pdu:1", "pdu:2")
TESTED = passed(passed(SET, "n1", "bmc1"), "n1", "pdu:1", "pdu:2")


def test_a_device_is_written_down_without_its_secrets() -> None:
    found = BASE.fence_devices["bmc1"]

    assert found == FenceDevice(
        agent="fence_ipmilan",
        parameters={"ip": "192.0.2.1"},
        secrets=("password",),
        secret_id="0123456789abcdef",
    )
    assert decode(encode(BASE)) == BASE


def test_levels_are_in_the_order_of_trial_and_go_one_by_one() -> None:
    assert words(SET, "n1") == [["bmc1:"], ["pdu:1", "pdu:2"]]
    assert words(level(SET, "n1", 1), "n1") == [["pdu:1", "pdu:2"]]
    assert words(level(SET, "n1", 2, "pdu:3"), "n1") == [["bmc1:"], ["pdu:3"]]
    assert level(SET, "n1", 1, "bmc1") is SET


def test_what_was_tested_is_told_of_its_plugs_alone() -> None:
    once = passed(SET, "n1", "bmc1")

    assert words(once, "n1") == [["bmc1:*"], ["pdu:1", "pdu:2"]]
    assert once.node("n1").levels[0][0] == Plug(device="bmc1", tested=WHEN, seconds=3)


def test_a_plug_that_stays_was_tested_as_before_and_a_new_one_was_not() -> None:
    assert words(level(TESTED, "n1", 2, "pdu:2", "pdu:3"), "n1") == [
        ["bmc1:*"],
        ["pdu:2*", "pdu:3"],
    ]


def test_a_device_that_is_reached_in_another_way_was_never_tested() -> None:
    other = device(TESTED, "pdu", new=False, parameters={"ip": "192.0.2.9"})

    assert words(other, "n1") == [["bmc1:*"], ["pdu:1", "pdu:2"]]
    assert other.node("n1").levels[1][0].seconds == 0


def test_another_password_leaves_the_tests_as_they_are() -> None:
    other = device(TESTED, "pdu", new=False, secret_id="f" * 16)

    assert words(other, "n1") == words(TESTED, "n1")
    assert other.fence_devices["pdu"].secret_id == "f" * 16


def test_a_plug_that_is_distrusted_was_never_tested() -> None:
    distrusted = passed(TESTED, "n1", "pdu:1", when="")

    assert words(distrusted, "n1") == [["bmc1:*"], ["pdu:1", "pdu:2*"]]


def test_a_test_of_what_was_changed_meanwhile_is_void() -> None:
    devices = {"pdu": reached_by(SET.fence_devices["pdu"])}
    test = {"name": "n1", "plugs": [["pdu", "1"]], "when": WHEN, "seconds": 3, "devices": devices}

    for changed in (
        device(SET, "pdu", new=False, parameters={"ip": "192.0.2.9"}),
        level(SET, "n1", 2, "pdu:2"),
    ):
        with pytest.raises(Refused, match="changed while they were tested"):
            after(changed, "fence.tested", **test)


def test_a_node_takes_its_plugs_along_and_a_device_without_nodes_goes() -> None:
    gone = after(SET, "node.remove", name="n1")

    assert after(gone, "fence.device_gone", name="pdu").fence_devices.keys() == {"bmc1"}


ONE = [["bmc1", ""]]
REFUSALS: list[tuple[str, Cluster, dict[str, Any], type[McvError], str]] = [
    ("fence.device", BASE, {"name": "pdu", "device": BMC, "new": True}, Refused, "pdu already"),
    ("fence.device", BASE, {"name": "ups", "device": BMC, "new": False}, NotFound, "device ups"),
    ("fence.device", BASE, {"name": "Pdu", "device": BMC, "new": True}, Refused, "no name"),
    (
        "fence.device",
        BASE,
        {"name": "x", "device": {"agent": "sh"}, "new": True},
        Refused,
        "no FenceDevice",
    ),
    (
        "fence.device",
        BASE,
        {"name": "x", "device": {**BMC, "parameters": {"ip": "a\nb"}}, "new": True},
        Refused,
        "no FenceDevice",
    ),
    ("fence.device_gone", SET, {"name": "pdu"}, Refused, "n1 hangs on pdu"),
    ("fence.device_gone", SET, {"name": "ups"}, NotFound, "no fence device ups"),
    ("fence.level", BASE, {"name": "n9", "level": 1, "plugs": ONE}, NotFound, "no node n9"),
    ("fence.level", BASE, {"name": "n1", "level": 2, "plugs": ONE}, Refused, "has no level"),
    ("fence.level", BASE, {"name": "n1", "level": 0, "plugs": ONE}, Refused, "no level 0"),
    ("fence.level", BASE, {"name": "n1", "level": 1, "plugs": []}, Refused, "has no level"),
    ("fence.level", SET, {"name": "n1", "level": 4, "plugs": ONE}, Refused, "has 2 levels"),
    ("fence.level", BASE, {"name": "n1", "level": 1, "plugs": [["x", ""]]}, NotFound, "device x"),
    ("fence.level", SET, {"name": "n1", "level": 2, "plugs": ONE}, Refused, "bmc1 is named twice"),
    ("fence.level", SET, {"name": "n2", "level": 1, "plugs": ONE}, Refused, "n1's plug already"),
    ("fence.level", BASE, {"name": "n1", "level": 1, "plugs": ONE * 9}, Refused, "8 plugs"),
]


@pytest.mark.parametrize(("change", "base", "params", "error", "said"), REFUSALS)
def test_what_would_make_no_sense_is_refused(
    change: str, base: Cluster, params: dict[str, Any], error: type[McvError], said: str
) -> None:
    with pytest.raises(error, match=said):
        by("n2", base, change, params)


def test_there_are_eight_levels_at_most() -> None:
    full = BASE
    for number in range(1, 9):
        full = level(full, "n1", number, f"pdu:{number}")

    with pytest.raises(Refused, match="no level 9"):
        level(full, "n1", 9, "bmc1")


def test_nothing_of_it_is_written_before_all_members_read_it() -> None:
    old = of_schema(5, document())

    for name, params in (
        ("fence.device", {"name": "x", "device": BMC, "new": True}),
        ("fence.level", {"name": "n1", "level": 1, "plugs": []}),
    ):
        with pytest.raises(Refused, match="cannot hold this yet"):
            after(old, name, **params)
