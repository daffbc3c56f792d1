"""The first document of a node that joins: of the cluster that was named over ssh, or none."""

import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from mcv.cluster import facts, joining
from mcv.document.model import Cluster, encode
from mcv.errors import Refused
from tests.deaths.stories import blank
from tests.documents import member
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def staged(cluster: FakeCluster) -> FakeCluster:
    """n2 is blank, and n1 is to take it in."""
    blank(cluster, "n1")
    known = {"name": "n1", "ip_address": "10.0.0.1", "certificate": "certificate of n1"}
    stage = {"operation": "job1", "members": [known]}
    joining.stage_join(cluster.hosts["n2"], document=json.dumps(stage))
    return cluster


def adopt(cluster: FakeCluster, document: Cluster) -> None:
    joining.adopt(cluster.hosts["n2"], document=encode(document), operation="job1")


def with_key(document: Cluster, name: str, certificate: str) -> Cluster:
    return document.with_node(replace(member(name), certificate=certificate))


LIES: dict[str, Callable[[Cluster], Cluster]] = {
    "another key of the new member": lambda one: with_key(one, "n2", "another"),
    "another key of the member that was named": lambda one: with_key(one, "n1", "another"),
    "no such member": lambda one: one.without_node("n2"),
    "other members": lambda one: one.without_node("n1"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_document_of_other_members_is_no_first_document(staged: FakeCluster, lie: str) -> None:
    good = staged.read("n1").with_node(member("n2"))

    with pytest.raises(Refused, match="other members"):
        adopt(staged, LIES[lie](good))

    assert list(staged.read("n2").nodes) == ["n2"]
    adopt(staged, good)
    assert staged.read("n2") == good


@pytest.mark.parametrize("change", ["permission.add", "permission.grant"])
def test_rights_of_a_newcomers_own_do_not_end_unsaid(staged: FakeCluster, change: str) -> None:
    """Whom they held back might do everything by the cluster's document."""
    n2 = staged.hosts["n2"]
    params = {"user": "bob"} if change == "permission.add" else {"who": "bob", "right": "view"}
    n2.update(change, "test", **params)

    with pytest.raises(Refused, match=r"rights of its own, which would end: bob\."):
        adopt(staged, staged.read("n1").with_node(member("n2")))
    with pytest.raises(Refused, match="rights of its own"):
        joining.stage_join(n2, document="{}")

    assert list(staged.read("n2").nodes) == ["n2"]
    assert facts.facts(n2).rights_of == ["bob"]
