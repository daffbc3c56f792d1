"""Fixtures of the tests on real nodes: a lab per run, a clean pair of nodes per test."""

import os
import re
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, Node, cluster
from tests.lab.cluster import reset, revive
from tests.lab.evidence import FAILURES, keep_evidence
from tests.lab.host import Place
from tests.lab.image import Image
from tests.lab.lab import side_by_side

HERE = Path(__file__).parent
REPORTS = pytest.StashKey[list[pytest.TestReport]]()


# What begins first has all the rest beside it: a lab, and meanwhile, while its image is made,
# those of the other tests that take longest; then labs again.
FIRST = (
    "lab/test_kills",
    "model/test_walks",
    "deaths/test_one_death",
    "lab/test_verification",
    "lab/test_live",
    "lab/test_declared",
    "lab/test_stale",
    "lab/test_split",
    "lab/test_main_job",
    "lab/test_fencing",
    "lab/test_refusals",
    "lab/test_hosts",
    "lab/test_members",
    "lab/test_refused_joins",
)


# Tests with these markers run where the environment asks for them.
ASKED_FOR = {"soak": "MCV_SOAK", "row": "MCV_ROWS"}


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(FAILURES, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("lab")
        if HERE / "ha" in item.path.parents:
            item.add_marker("ha")
    left = [
        one
        for one in items
        for marker, wanted in ASKED_FOR.items()
        if one.get_closest_marker(marker) and wanted not in os.environ
    ]
    config.hook.pytest_deselected(items=left)
    items[:] = sorted((one for one in items if one not in left), key=_turn)


def _turn(item: pytest.Item) -> int:
    name = f"{item.path.parent.name}/{item.path.stem}"
    if name in FIRST:
        return FIRST.index(name)
    return len(FIRST) + (HERE not in item.path.parents)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash.setdefault(REPORTS, []).append(report)
    return report


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two nodes, booted once. A lab that cannot boot fails the tests; they are never skipped.

    Each process of a shared run has a lab of its own, all made from one image.
    """
    place, process = Place.from_environment(), os.environ.get("PYTEST_XDIST_WORKER")
    image = Image(place.directory / "base")
    with Lab(place.beside(process) if process else place, image) as lab:
        lab.up(2)
        yield lab


@pytest.fixture
def nodes(lab: Lab, request: pytest.FixtureRequest) -> Iterator[list[Node]]:
    """Nodes 1 and 2 with nothing on them, mcvd running, whatever the test before did."""
    yield from clean(lab, 2, request.node)


@pytest.fixture
def pair(lab: Lab, machines: list[Node]) -> list[Node]:
    """Nodes 1 and 2 as one cluster, DRBD enabled, the network lan, and no VM.

    With MCV_STORE=etcd the document lies in etcd, whose third voter is a witness.

    A test that leaves it so spares the next one the joining.
    """
    if not cluster.is_as_joined(machines):
        side_by_side(reset, machines)
        cluster.join(machines)
        cluster.settle(lab, machines)
    return machines


@pytest.fixture
def strangers(machines: list[Node]) -> list[Node]:
    """Nodes 1 and 2, each a cluster of one with nothing in it.

    A test that leaves them so spares the next one the cleaning.
    """
    if not all(side_by_side(cluster.is_blank, machines)):
        side_by_side(reset, machines)
    return machines


@pytest.fixture
def three_nodes(lab: Lab, request: pytest.FixtureRequest) -> Iterator[list[Node]]:
    """Nodes 1 to 3, the same way."""
    yield from clean(lab, 3, request.node)


@pytest.fixture
def machines(lab: Lab, request: pytest.FixtureRequest) -> Iterator[list[Node]]:
    """Nodes 1 and 2 up and connected, whatever is on them."""
    yield from watched(lab, revive(lab, 2), request.node)


def clean(lab: Lab, count: int, test: pytest.Item) -> Iterator[list[Node]]:
    nodes = revive(lab, count)
    others = [node for node in lab.nodes if node not in nodes and node.is_running]
    side_by_side(reset, [*nodes, *others])
    yield from watched(lab, nodes, test)


def watched(lab: Lab, nodes: list[Node], test: pytest.Item) -> Iterator[list[Node]]:
    since = int(time.time()) - 1
    yield nodes
    if any(report.failed for report in test.stash.get(REPORTS, [])):
        name = re.sub(r"[^\w.-]+", "_", test.name)
        side_by_side(lambda node: keep_evidence(node, FAILURES / name, since), lab.nodes)
