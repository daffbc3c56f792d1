"""What the check finds of fence devices and of plugs."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from mcv.check import fencing, runner
from mcv.check.finding import ClusterSnapshot
from mcv.cluster import fence_keeping
from mcv.document.availability import Ha, HostWatchdog
from mcv.document.fencing import Plug
from mcv.document.model import Cluster
from mcv.document.node import Node
from tests.documents import document
from tests.fakes.fenced import Fenced
from tests.fakes.fenced import fenced as fenced

NOW = datetime(2027, 1, 1, tzinfo=UTC)
SOFTDOG = HostWatchdog(
    kind="Software Watchdog", device="/dev/watchdog0", timeout=8, grain=1.0, hardware=False
)


def found(fenced: Fenced) -> list[tuple[str, str, str]]:
    told = runner.check(fenced.cluster.hosts["n1"]).findings
    subjects = ("pdu", "pdu:3", "fencing")
    return [(each.severity, each.node, each.message) for each in told if each.subject in subjects]


def judged(cluster: Cluster) -> list[str]:
    scene = ClusterSnapshot("n1", cluster, "", (cluster,), {}, {}, {}, {})
    return [finding.message for finding in fencing.judge(scene, NOW)]


@pytest.fixture
def hung(fenced: Fenced) -> Fenced:
    fenced.add("pdu")
    fenced.set("n3", "pdu:3")
    return fenced


def look(hung: Fenced, *names: str) -> None:
    for name in names:
        hung.cluster.hosts[name].fences.monitored.clear()
        fence_keeping.look_after(hung.cluster.hosts[name])


def test_a_device_that_answers_and_a_plug_that_was_tested_are_well(hung: Fenced) -> None:
    hung.tested("n3", "pdu:3")
    look(hung, "n1", "n2", "n3")

    assert [each for each in found(hung) if "last tested" not in each[2]] == []


def test_a_device_that_answers_nobody_is_an_error_and_one_that_some_reach_a_warning(
    hung: Fenced,
) -> None:
    hung.tested("n3", "pdu:3")
    look(hung, "n1")
    hung.power._password = "another"
    look(hung, "n2")
    devices = [each for each in found(hung) if "does not answer" in each[2]]
    assert [each[:2] for each in devices] == [("warning", "n2")]

    look(hung, "n1")

    devices = [each for each in found(hung) if "does not answer" in each[2]]
    assert [each[:2] for each in devices] == [("error", "n1"), ("error", "n2")]


def test_secrets_that_a_node_lacks_are_a_warning(hung: Fenced) -> None:
    hung.cluster.hosts["n2"].fences.secrets.forget()

    assert ("warning", "n2", "n2 does not have the secrets of the fence device pdu.") in found(hung)


def test_a_plug_that_was_never_tested_counts_for_nothing(hung: Fenced) -> None:
    [(severity, node, message)] = found(hung)

    assert (severity, node) == ("warning", "n3")
    assert message == "pdu:3 was never seen to switch n3, so it counts for nothing."


def with_node(ha: Ha, tested: str = "", watchdog: HostWatchdog | None = None) -> Cluster:
    base = document("n1")
    levels = ((Plug(device="pdu", port="1", tested=tested),),) if tested else ()
    node: Node = replace(base.node("n1"), levels=levels, watchdog=watchdog)
    return replace(base.with_node(node), ha=ha)


@pytest.mark.parametrize(
    ("tested", "said"),
    [
        ("2026-06-01T12:00:00Z", []),
        ("2025-06-01T12:00:00Z", ["pdu:1 was last tested on 2025-06-01: cables move."]),
        ("then", ["pdu:1 was last tested on then: cables move."]),
    ],
)
def test_a_test_older_than_a_year_is_a_warning(tested: str, said: list[str]) -> None:
    assert judged(with_node(Ha(), tested)) == said


@pytest.mark.parametrize(
    ("ha", "tested", "watchdog", "warns"),
    [
        (Ha(), "", None, False),
        (Ha(armed=True), "", None, True),
        (Ha(armed=True), "", SOFTDOG, True),
        (Ha(armed=True, trust_softdog=True), "", SOFTDOG, False),
        (Ha(armed=True), "", replace(SOFTDOG, hardware=True), False),
        (Ha(armed=True), "2026-06-01T12:00:00Z", SOFTDOG, False),
    ],
)
def test_an_armed_node_that_nothing_proves_dead_is_a_warning(
    ha: Ha, tested: str, watchdog: HostWatchdog | None, warns: bool
) -> None:
    told = judged(with_node(ha, tested, watchdog))

    assert [line.startswith("Nothing proves n1 dead") for line in told] == [True] * warns
