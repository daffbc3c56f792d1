"""What arms a cluster in the document, what disarms it, and its settings."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.availability import Ha, HostWatchdog
from mcv.document.model import Cluster, decode, encode
from mcv.errors import NotFound, Refused
from tests.documents import after, document, of_schema

ID = "0123456789abcdef"
SOFTDOG: dict[str, Any] = {
    "kind": "Software Watchdog",
    "device": "/dev/watchdog1",
    "timeout": 8,
    "grain": 1.0,
    "hardware": False,
}


def in_etcd() -> Cluster:
    base = document("n1", "n2", "n3")
    for name in base.nodes:
        base = after(base, "node.etcd", name=name, certificate=f"of {name}")
    return after(base, "store.etcd", id=ID, voters=["n1", "n2", "n3"], epoch="e2")


IN_ETCD = in_etcd()
WATCHDOGS = dict.fromkeys(IN_ETCD.nodes, SOFTDOG)
PREPARED = after(IN_ETCD, "ha.prepare", pace=2, trust_softdog=True, watchdogs=WATCHDOGS)
ARMED = after(PREPARED, "ha.arm")


def away(base: Cluster, name: str) -> Cluster:
    return base.with_node(replace(base.node(name), status="offline"))


def test_arming_writes_what_was_measured_first_and_arms_by_a_change_of_its_own() -> None:
    assert PREPARED.ha == Ha(pace=2, trust_softdog=True)
    assert {node.watchdog for node in PREPARED.nodes.values()} == {HostWatchdog(**SOFTDOG)}
    assert ARMED.ha == Ha(armed=True, pace=2, trust_softdog=True)
    assert decode(encode(ARMED)) == ARMED


def test_disarming_keeps_pace_and_settings() -> None:
    disarmed = after(after(ARMED, "ha.set", on_lost_lease="reset"), "ha.disarm")

    assert disarmed.ha == Ha(pace=2, trust_softdog=True, on_lost_lease="reset")


def test_what_is_so_already_is_no_generation() -> None:
    again = after(PREPARED, "ha.prepare", pace=2, trust_softdog=True, watchdogs=WATCHDOGS)

    assert again.generation == PREPARED.generation
    assert after(ARMED, "ha.set", pace=2).generation == ARMED.generation
    assert after(ARMED, "ha.watchdog", name="n1", watchdog=SOFTDOG).generation == ARMED.generation


def test_a_member_that_joins_has_its_watchdog_written_down() -> None:
    other = {**SOFTDOG, "device": "/dev/watchdog0", "hardware": True}

    new = after(ARMED, "ha.watchdog", name="n2", watchdog=other)

    assert new.node("n2").watchdog == HostWatchdog(**other)


REFUSALS: list[tuple[str, Cluster, str, dict[str, Any], type[Exception], str]] = [
    ("twice", ARMED, "ha.arm", {}, Refused, "armed already"),
    (
        "prepared while armed",
        ARMED,
        "ha.prepare",
        {"pace": 1, "trust_softdog": False, "watchdogs": {}},
        Refused,
        "armed already",
    ),
    ("without etcd", document("n1", "n2", "n3"), "ha.arm", {}, Refused, "the document does not"),
    ("a member away", away(PREPARED, "n3"), "ha.arm", {}, Refused, "n3 is offline"),
    ("nothing measured", IN_ETCD, "ha.arm", {}, Refused, "No watchdog is known of n1 and n2"),
    ("disarmed twice", PREPARED, "ha.disarm", {}, Refused, "not armed"),
    ("a setting that is none", ARMED, "ha.set", {"color": "red"}, Refused, "color"),
    ("arming by a setting", PREPARED, "ha.set", {"armed": True}, Refused, "armed"),
    ("a pace that is none", ARMED, "ha.set", {"pace": 11}, Refused, "pace"),
    ("a word that is none", ARMED, "ha.set", {"on_lost_lease": "pray"}, Refused, "on_lost_lease"),
    (
        "a member that is none",
        ARMED,
        "ha.watchdog",
        {"name": "n9", "watchdog": SOFTDOG},
        NotFound,
        "no node n9",
    ),
]


@pytest.mark.parametrize(("story", "base", "name", "params", "error", "said"), REFUSALS)
def test_what_would_make_no_sense_is_refused(
    story: str,
    base: Cluster,
    name: str,
    params: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        after(base, name, **params)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("ha.arm", {}),
        ("ha.disarm", {}),
        ("ha.prepare", {"pace": 1, "trust_softdog": False, "watchdogs": {}}),
        ("ha.set", {"pace": 1}),
        ("ha.watchdog", {"name": "n1", "watchdog": SOFTDOG}),
    ],
)
def test_nothing_of_it_is_written_before_all_members_read_it(
    name: str, params: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match="cannot hold this yet"):
        after(of_schema(4, document()), name, **params)
