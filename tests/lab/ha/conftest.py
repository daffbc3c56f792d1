"""Three nodes and a witness, booted once, for the tests of high availability."""

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.cluster import revive
from tests.lab.conftest import watched
from tests.lab.ha.fenced import served
from tests.lab.ha.managed import Managed
from tests.lab.ha.trio import WITNESS, Trio
from tests.lab.host import Place
from tests.lab.image import Image
from tests.lab.power import Power


@pytest.fixture(scope="session")
def ha_lab() -> Iterator[Lab]:
    """Nodes 1 to 3, and node 4 as a machine without mcv: one boot.

    Beside the place of the other tests' lab, which this process may have as well.
    """
    place = Place.from_environment()
    with Lab(place.beside("ha"), Image(place.directory / "base")) as lab:
        lab.node(WITNESS).role = "witness"
        lab.up(WITNESS)
        yield lab


@pytest.fixture
def trio(ha_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Trio]:
    """One cluster of three nodes, its document by unanimous agreement, without a VM."""
    *nodes, witness = revive(ha_lab, WITNESS)
    trio = Trio(nodes, witness)
    trio.make_new()
    for _ in watched(ha_lab, nodes, request.node):
        yield trio


@pytest.fixture
def armed(ha_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Trio]:
    """The same cluster with its document in etcd, armed, with a guest that writes.

    A test that leaves it so spares the next one its making.
    """
    *nodes, witness = revive(ha_lab, WITNESS)
    trio = Trio(nodes, witness)
    trio.make_armed()
    for _ in watched(ha_lab, nodes, request.node):
        yield trio


@pytest.fixture
def machines(ha_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Trio]:
    """The same machines up and connected, whatever is on them."""
    *nodes, witness = revive(ha_lab, WITNESS)
    for _ in watched(ha_lab, nodes, request.node):
        yield Trio(nodes, witness)


@pytest.fixture(scope="session")
def service(ha_lab: Lab) -> Iterator[Power]:
    """The power service, with a plug for each of the four machines."""
    with served(ha_lab, [ha_lab.node(number) for number in range(1, WITNESS + 1)]) as power:
        yield power


@pytest.fixture
def managed(ha_lab: Lab, service: Power, request: pytest.FixtureRequest) -> Iterator[Managed]:
    """The armed cluster, with web1 managed and a tested plug for each node.

    A test that leaves it so spares the next one the tests of the plugs.
    """
    *nodes, witness = revive(ha_lab, WITNESS)
    managed = Managed(Trio(nodes, witness), service)
    managed.make()
    for _ in watched(ha_lab, nodes, request.node):
        yield managed
    managed.leave()
