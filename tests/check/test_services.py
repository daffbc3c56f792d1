"""What the check finds of services: strays, and what forbids a start."""

from dataclasses import replace as with_fields

import pytest

from mcv.check import runner, services
from mcv.document.claim import Claim
from mcv.document.subject import Subject
from mcv.service import power, watched
from mcv.system import service_notes
from mcv.system.service_notes import ServiceNote
from tests.check.test_check_values import scene_of
from tests.fakes.cluster import FakeCluster
from tests.service.conftest import bare as bare
from tests.service.conftest import served as served
from tests.service.names import ADDRESS, IP, A, B


def found(served: FakeCluster) -> list[tuple[str, str, str]]:
    told = runner.check(served.hosts["n1"]).findings
    of_it = [each for each in told if each.subject in ("www", "old")]
    assert all(each.severity == "error" and each.hint for each in of_it)
    return [(each.node, each.message, each.hint) for each in of_it]


def test_a_service_that_runs_or_is_stopped_is_well(served: FakeCluster) -> None:
    assert found(served) == []

    served.run("n1", power.start, name="www")

    assert found(served) == []


def test_an_address_on_a_node_that_does_not_own_it_is_a_stray(served: FakeCluster) -> None:
    """Also on n3, which is not in its domain."""
    served.run("n1", power.start, name="www")
    served.services["n3"].address.own[IP] = "eth0"

    assert found(served) == [
        (
            "n3",
            f"n3 has the address {ADDRESS} of www, on eth0, and n1 owns www.",
            f"On n3: ip address del {ADDRESS} dev eth0",
        )
    ]


def test_an_address_that_mcv_has_not_put_there_is_in_the_way(served: FakeCluster) -> None:
    served.services["n1"].address.own[IP] = "br0"

    [(node, message, _)] = found(served)

    assert node == "n1" and "mcv has not put it there" in message


def test_what_runs_and_is_another_nodes_or_nobodys_is_told(served: FakeCluster) -> None:
    note = ServiceNote(name="old", address="192.0.2.81/24", bridge="br0")
    service_notes.write(served.hosts["n3"].settings.run, note)
    note = ServiceNote(name="www", address=ADDRESS, bridge="br0")
    service_notes.write(served.hosts["n2"].settings.run, note)

    assert [each[:2] for each in found(served)] == [
        ("n2", "www runs on n2, and n1 owns it."),
        ("n3", "old, which is no service any more, runs on n3."),
    ]


def test_what_moves_is_let_be(served: FakeCluster) -> None:
    note = ServiceNote(name="www", address=ADDRESS, bridge="br0")
    service_notes.write(served.hosts["n2"].settings.run, note)
    scene = scene_of(served)
    claim = Claim(
        operation="x", node="n1", epoch=1, generation=9, why="migrate www to n2", since="now"
    )
    moving = scene.cluster.with_claim(Subject.service("www"), claim)

    assert [each.node for each in services.judge(scene)] == ["n2"]
    assert list(services.judge(with_fields(scene, cluster=moving, known=(moving,)))) == []
    assert list(services.judge(with_fields(scene, known=(scene.cluster, moving)))) == []


def test_what_does_not_run_well_is_told(served: FakeCluster) -> None:
    served.run("n1", power.start, name="www")
    served.services["n1"].units.active.discard("nginx.service")
    watched.look_after(served.hosts["n1"])

    [(node, message, hint)] = found(served)

    assert (node, message) == ("n1", "www is not well on n1: nginx.service is inactive (dead).")
    assert hint == "What is done about it: mcv ha explain www"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("enabled", "nginx.service is enabled on n2"),
        ("missing", "n2 has no unit nginx.service"),
        ("bridge", "n2 has no bridge br0."),
        ("down", "br0 is down on n2."),
        ("changed", f"{A} on n2 is not what it was when it was looked at."),
        ("gone", f"n2: {B}: No such file or directory."),
        ("unsafe", f"n2: {B} can be written to by others than root."),
    ],
)
def test_what_forbids_a_start_on_a_node_of_its_domain_is_an_error(
    served: FakeCluster, what: str, said: str
) -> None:
    spoil(served, "n2", what)

    assert [each[0] for each in found(served)] == ["n2"]
    assert found(served)[0][1].startswith(f"www cannot start on n2: {said}")


def test_what_a_node_outside_its_domain_lacks_is_no_matter(served: FakeCluster) -> None:
    spoil(served, "n3", "enabled")

    assert found(served) == []


def spoil(served: FakeCluster, node: str, what: str) -> None:
    doors = served.services[node]
    if what == "enabled":
        doors.units.enabled.add("nginx.service")
    elif what == "missing":
        doors.units.missing.add("nginx.service")
    elif what == "bridge":
        served.bridges[node].names = ("br-lan",)
    elif what == "down":
        doors.address.down.add("br0")
    elif what == "changed":
        doors.programs.digests[A] = "1" * 64
    elif what == "gone":
        del doors.programs.digests[B]
    else:
        doors.programs.unsafe[B] = f"{B} can be written to by others than root"
