"""A coordinator that stood still, and wakes when others have gone on without it."""

from collections.abc import Iterator

import pytest

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.consistency import is_gone, is_whole, owner, settle
from tests.lab.test_kills import CREATE, under_way


@pytest.fixture
def ready(pair: list[Node]) -> Iterator[list[Node]]:
    for node in pair:
        node.put(guests.idle(), "/root/web1.img")
    yield pair
    for node in pair:
        node.thaw()
        if node.is_running:
            node.sigcont()
        else:
            node.boot()


@pytest.mark.soak
def test_a_host_that_froze_in_the_middle_wakes_after_a_takeover_and_does_nothing(
    ready: list[Node],
) -> None:
    one, two = ready
    mcv(one, CREATE)
    two.run("sleep 3")
    moving = under_way(one, "migrate --node node2 web1", 1)
    one.freeze()
    mcv(two, "node offline node1 --confirm-dead --yes", timeout=60)
    mcv(two, "repair")
    assert told(two, "locks list")["claims"] == []
    if owner(two) == "node1":
        mcv(two, "register web1 --node node2 --accept-stale --yes")
    mcv(two, "start web1")
    document = reality.document(two)

    one.thaw()

    moving.communicate(timeout=120)
    settle(ready)
    assert owner(one) == owner(two) == "node2"
    assert reality.document(two)["generation"] >= document["generation"]
    assert (reality.domain(one, "web1"), reality.domain(two, "web1")) == ("absent", "running")
    wait_until(lambda: is_whole(ready), 60, "replicas in step")
    mcv(two, "stop web1")
    mcv(two, "delete web1 --yes")
    assert is_gone(ready)


@pytest.mark.soak
def test_a_daemon_that_stood_still_for_longer_than_anybody_waits_goes_on_or_gives_up(
    ready: list[Node],
) -> None:
    one, two = ready
    making = under_way(one, CREATE, 2)
    two.sigstop()
    one.run("sleep 15")

    two.sigcont()

    said, _ = making.communicate(timeout=200)
    assert said.split()[-1] in ("0", "1", "4"), said
    settle(ready)
    assert is_whole(ready) or is_gone(ready)
    if is_whole(ready):
        mcv(one, "delete web1 --yes")
    assert is_gone(ready)


@pytest.mark.soak
def test_the_claim_of_a_dead_node_is_let_go_from_another(ready: list[Node]) -> None:
    one, two = ready
    creating = under_way(one, CREATE, 1)
    one.kill()
    creating.communicate(timeout=60)

    held = told(two, "locks list")["claims"]
    assert [claim["subject"] for claim in held] == ["web1"]
    assert "node1" in mcv(two, "locks clear web1 --yes", code=3).stderr
    mcv(two, "node offline node1 --confirm-dead --yes")
    mcv(two, "locks clear web1 --yes")

    assert told(two, "locks list")["claims"] == []
    one.boot()
    settle(ready)
    assert is_gone(ready)
