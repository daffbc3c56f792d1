"""The services of a node are looked at, each beside the others, and what is lost is ended."""

import threading
import time

import pytest

from mcv.cluster import ha_list
from mcv.document.subject import Subject
from mcv.host import Host
from mcv.service import power, running, watched
from tests.fakes.cluster import FakeCluster
from tests.service.names import ADDRESS, STOPPED, A, B


def start(served: FakeCluster) -> None:
    served.run("n1", power.start, name="www")
    served.segment.happened.clear()


def seen(served: FakeCluster) -> tuple[str, str]:
    watched.look_after(served.hosts["n1"])
    found = power.look(served.hosts["n1"], "www")
    return found.state, found.problem


def test_a_service_that_runs_well_is_started(served: FakeCluster) -> None:
    start(served)

    assert seen(served) == ("started", "")


def spoil(served: FakeCluster, what: str) -> None:
    doors = served.services["n1"]
    if what == "address":
        doors.address.own.clear()
    elif what == "link":
        doors.address.linkless.add("br0")
    elif what == "unit":
        doors.units.active.discard("nginx.service")
    elif what == "script":
        doors.units.active.discard("mcv-service-www-1.service")
    else:
        doors.units.ill[B] = "`b status` failed"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("address", f"its address {ADDRESS} is gone"),
        ("link", "br0 has no link"),
        ("unit", "nginx.service is inactive"),
        ("script", f"{A} is not started"),
        ("status", "`b status` failed"),
    ],
)
def test_each_part_of_it_is_watched(served: FakeCluster, what: str, said: str) -> None:
    start(served)
    spoil(served, what)

    state, problem = seen(served)

    assert state == "failed" and said in problem
    (row,) = ha_list.list_(served.hosts["n2"])
    assert row.attention == f"on n1: {problem}"


def test_what_is_well_again_is_started_again(served: FakeCluster) -> None:
    start(served)
    spoil(served, "link")
    assert seen(served)[0] == "failed"
    served.services["n1"].address.linkless.clear()

    assert seen(served) == ("started", "")


def test_a_service_of_which_nothing_is_left_is_stopped(served: FakeCluster) -> None:
    """As after the lease of the node was lost: mcv-lease has ended all of it."""
    start(served)
    served.services["n1"].address.own.clear()
    served.services["n1"].units.active.clear()

    assert seen(served) == ("stopped", "")
    assert served.read().services["www"].entry.wanted == "started"


def give_away(host: Host) -> None:
    """Another node owns it by the document, and nothing has stopped it here."""
    with host.claim(Subject.service("www"), "x"):
        host.update("service.owner", "x", name="www", node="n2")


def test_a_service_that_was_given_to_another_node_is_ended_here(served: FakeCluster) -> None:
    start(served)
    served.run("n1", give_away)
    for name in served.hosts:
        served.look(name)

    watched.look_after(served.hosts["n1"])

    assert served.segment.happened == [
        "n1: stop mcv-service-www-2.service",
        "n1: stop mcv-service-www-1.service",
        *STOPPED[2:],
    ]
    assert not running.runs(served.hosts["n1"], "www")


def test_a_service_that_is_being_moved_is_left_to_its_plan(served: FakeCluster) -> None:
    start(served)
    served.hosts["n1"].update("service.claim", "x", name="www", why="move")

    assert seen(served) == ("started", "")
    assert served.segment.happened == []


def test_while_its_lock_is_held_it_is_not_looked_at(served: FakeCluster) -> None:
    start(served)
    spoil(served, "unit")

    with served.hosts["n1"].hold(Subject.service("www"), "stop www"):
        assert seen(served) == ("started", "")
    assert seen(served)[0] == "failed"


def test_a_script_that_hangs_holds_up_its_own_service_alone(
    served: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(served)
    release, looked = threading.Event(), []

    def hang(host: Host, service: object) -> str:
        looked.append(1)
        release.wait(10)
        return ""

    monkeypatch.setattr(running, "trouble", hang)
    monkeypatch.setattr(watched, "PERIOD", 0.1)

    began = time.monotonic()
    watched.look_after(served.hosts["n1"])
    watched.look_after(served.hosts["n1"])
    took = time.monotonic() - began
    release.set()
    for thread in served.hosts["n1"].watched.threads.values():
        thread.join()

    assert took < 5 and looked == [1]
