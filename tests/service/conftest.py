"""Three nodes on one segment, and www: an address, a unit and two scripts."""

import pytest

from mcv.cluster import ha_domains
from mcv.service import create
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import short_timeouts as short_timeouts
from tests.fakes.fixtures import three as three
from tests.service.names import ON, A, B


@pytest.fixture
def bare(three: FakeCluster) -> FakeCluster:
    """Bridges and scripts on every node, and no service."""
    for name in three.hosts:
        three.bridges[name].names = ("br-lan", "br0")
        for path in (A, B):
            three.services[name].programs.digests[path] = "0" * 64
    return three


@pytest.fixture
def served(bare: FakeCluster) -> FakeCluster:
    """www belongs to n1 in a domain of n1 and n2, and is stopped."""
    nodes = {"n1": 1, "n2": 2}
    bare.run("n1", ha_domains.create_domain, name="front", nodes=nodes, ordered=True)
    scripts, units = [A, B], ["nginx"]
    bare.run("n1", create.create, name="www", domain="front", **ON, units=units, scripts=scripts)
    return bare
