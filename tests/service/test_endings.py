"""A host that goes down ends its services first; what is wanted of them stays."""

from mcv.cluster import leaving
from mcv.service import power, running
from tests.fakes.cluster import FakeCluster
from tests.service.names import STOPPED, B


def start(served: FakeCluster) -> None:
    served.run("n1", power.start, name="www")
    served.segment.happened.clear()


def test_services_end_before_their_host_is_offline(served: FakeCluster) -> None:
    start(served)

    assert leaving.leave_in_order(served.hosts["n1"])

    assert served.segment.happened == STOPPED
    www = served.read("n2").services["www"]
    assert (www.node, www.entry.wanted) == ("n1", "started")
    assert served.read("n2").node("n1").status == "offline"


def test_a_host_with_a_service_that_does_not_end_goes_down_as_online(
    served: FakeCluster,
) -> None:
    """Offline in the document would let another node have the address."""
    start(served)
    served.services["n1"].units.endless.add(B)

    assert not leaving.leave_in_order(served.hosts["n1"])

    assert running.runs(served.hosts["n1"], "www")
    assert served.read("n2").node("n1").status == "online"
