"""What a service is made of is looked at on each node, and all that is wrong told at once."""

from typing import Any

import pytest

from mcv.cluster import ha_domains, ha_list, members
from mcv.errors import NotFound, Refused
from mcv.service import create, power
from mcv.vm import create as create_vm
from tests.fakes.cluster import FakeCluster
from tests.service.names import ADDRESS, ON, A, B

DIGEST = "0" * 64


def problems(told: Any) -> list[str]:
    return [message for message, _ in told.value.problems] or [told.value.message]


def test_a_service_belongs_to_the_best_node_of_its_domain_and_is_stopped(
    served: FakeCluster,
) -> None:
    www = served.read().services["www"]

    assert (www.node, www.home, www.units) == ("n1", "n1", ("nginx.service",))
    assert [(script.path, script.digest) for script in www.scripts] == [(A, DIGEST), (B, DIGEST)]
    assert (www.entry.wanted, www.entry.domain, www.monitor_link) == ("stopped", "front", True)
    assert served.segment.happened == []


def test_without_a_domain_it_belongs_to_the_node_that_was_asked(bare: FakeCluster) -> None:
    assert bare.run("n2", create.create, name="www", **ON).node == "n2"


def test_all_that_is_wrong_with_its_words_is_told_at_once(served: FakeCluster) -> None:
    before = served.read()

    with pytest.raises(Refused) as told:
        served.run(
            "n1",
            create.create,
            name="Www",
            address="192.0.2.255/24",
            bridge="br0",
            units=["nginx", "nginx", "a.socket", "x y"],
            scripts=["relative", "/etc/../tmp/x"],
            domain="back",
            recovery="pray",
            sleeptime=-1,
        )

    said = problems(told)
    assert len(said) == 11 and served.read() == before
    assert "192.0.2.255/24 is no address of a host." in said
    assert "nginx.service belongs to the service www." in said


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("192.0.2.80", "no IPv4 address with the length"),
        ("fe80::1/64", "no IPv4 address with the length"),
        ("192.0.2.0/24", "no address of a host"),
        ("127.0.0.1/8", "no address of a host"),
        ("192.0.2.80/16", "the address of www"),
        ("10.0.0.2/24", "the address of n2"),
    ],
)
def test_an_address_is_one_that_a_host_can_have_and_nobody_has(
    served: FakeCluster, address: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        served.run("n1", create.create, name="w2", address=address, bridge="br0")


def test_each_node_of_the_domain_is_looked_at_and_no_other(bare: FakeCluster) -> None:
    bare.run("n1", ha_domains.create_domain, name="front", nodes={"n1": 1, "n2": 1})
    bare.bridges["n2"].names = ("br-lan",)
    bare.bridges["n3"].names = ()
    bare.services["n1"].units.enabled.add("nginx.service")
    bare.services["n2"].units.missing.add("nginx.service")
    bare.services["n1"].programs.unsafe[A] = f"{A} can be written to by others than root"
    bare.services["n2"].programs.digests[B] = "1" * 64
    bare.services["n2"].address.own["192.0.2.80"] = "eth0"

    with pytest.raises(Refused) as told:
        bare.run(
            "n3", create.create, name="www", domain="front", **ON, units=["nginx"], scripts=[A, B]
        )

    said = problems(told)
    assert len(said) == 6
    assert "n2 has no bridge br0." in said
    assert any("nginx.service is enabled on n1" in line for line in said)
    assert any("n2 has no unit nginx.service" in line for line in said)
    assert f"n1: {A} can be written to by others than root." in said
    assert f"{B} is one script on n1, another one on n2." in said
    assert f"{ADDRESS} is an address of n2 itself, on eth0." in said


def test_a_node_that_does_not_answer_refuses_and_one_that_is_offline_is_told_of(
    bare: FakeCluster,
) -> None:
    bare.down.add("n3")
    with pytest.raises(Refused):
        bare.run("n1", create.create, name="www", **ON)
    bare.down.clear()
    bare.run("n3", members.offline, names=["n3"])

    made = bare.run("n1", create.create, name="www", **ON)

    said = "n3 is offline: what it has of the service is looked at before a start there."
    assert said in made.notes


def test_vms_and_services_share_their_names(served: FakeCluster) -> None:
    with pytest.raises(Refused, match="service www already"):
        served.run("n1", create_vm.create, name="www", memory="64MiB")
    served.run("n1", create_vm.create, name="web1", memory="64MiB")
    with pytest.raises(Refused, match="VM web1 already"):
        served.run("n1", create.create, name="web1", address="192.0.2.81/24", bridge="br0")


def test_a_service_is_listed_with_its_owner_s_word(served: FakeCluster) -> None:
    (stopped,) = ha_list.list_(served.hosts["n3"])
    served.run("n1", power.start, name="www")
    (started,) = ha_list.list_(served.hosts["n3"])
    served.down.add("n1")
    (silent,) = ha_list.list_(served.hosts["n3"])

    assert (stopped.name, stopped.kind, stopped.wanted) == ("www", "service", "stopped")
    assert (stopped.state, stopped.home, stopped.domain) == ("frozen", "n1", "front")
    assert stopped.reason == "the cluster is not armed; on n1 it is stopped"
    assert started.reason == "the cluster is not armed; on n1 it is started"
    assert silent.reason == "the cluster is not armed; on n1 it is unknown"


def test_a_script_that_was_changed_everywhere_is_taken_at_an_operator_s_word(
    served: FakeCluster,
) -> None:
    served.services["n1"].programs.digests[A] = "2" * 64
    with pytest.raises(Refused, match="one script on n1, another one on n2"):
        served.run("n1", create.refresh, name="www")
    served.services["n2"].programs.digests[A] = "2" * 64

    served.run("n1", create.refresh, name="www")

    www = served.read().services["www"]
    assert [script.digest[0] for script in www.scripts] == ["2", "0"]
    assert www.claim is None


def test_a_service_is_deleted_when_it_is_stopped_and_not_wanted(served: FakeCluster) -> None:
    served.run("n1", power.start, name="www")
    with pytest.raises(Refused) as told:
        served.run("n1", create.delete, name="www")
    served.run("n1", power.stop, name="www")
    planned = served.run("n1", create.delete, name="www", dry_run=True)
    served.run("n1", create.delete, name="www")

    assert problems(told) == ["www is started on n1.", "www is to run."]
    assert planned.plan == ["document: service.gone name=www"]
    assert served.read().services == {}
    with pytest.raises(NotFound):
        served.run("n1", create.delete, name="www")
