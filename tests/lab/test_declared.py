"""Offline and back: by a host's shutdown, for maintenance, by an operator's word."""

import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Node, guests, reality, wait_until
from tests.lab.cluster import create, mcv, reset, told
from tests.lab.lab import side_by_side


def status(node: Node, name: str) -> str:
    return next(str(one["status"]) for one in told(node, "info")["nodes"] if one["name"] == name)


def all_online(nodes: list[Node]) -> bool:
    said = [told(node, "info") for node in nodes]
    return (
        all(one["status"] == "online" for info in said for one in info["nodes"])
        and len({info["hash"] for info in said}) == 1
    )


@pytest.fixture
def clean_after(lab: Lab, pair: list[Node]) -> Iterator[list[Node]]:
    """A pair that a test may take apart: both nodes are running and healed after it."""
    yield pair
    for node in pair:
        node.heal()
        if not node.is_running:
            node.boot()
        node.sigcont()


@pytest.fixture
def impatient(pair: list[Node]) -> Iterator[Node]:
    """node2, whose guests have five seconds to shut down when it does."""
    pair[1].run("echo 'shutdown_timeout = 5' >> /etc/mcv/mcv.conf")
    yield pair[1]
    pair[1].run("cp /var/lib/lab-mcv.conf /etc/mcv/mcv.conf")


@pytest.mark.soak
def test_a_host_that_shuts_down_leaves_and_comes_back_by_itself(
    pair: list[Node], impatient: Node
) -> None:
    create(pair[0], "web1")
    mcv(pair[0], "start web1")
    mcv(pair[0], "start web1", code=3)
    create(impatient, "deaf")
    create(impatient, "polite", image=guests.polite())
    create(impatient, "stopped")
    mcv(impatient, "start deaf polite stopped")
    mcv(impatient, "stop stopped")
    epoch = told(pair[0], "info")["epoch"]

    impatient.run("systemctl restart mcv-guests")
    assert reality.domain(impatient, "polite") == "running"
    began = time.monotonic()
    pair[1].shutdown()

    # libvirt-guests alone would have waited 300 s for the guest that ignores it.
    assert time.monotonic() - began < 90
    assert reality.document(pair[0])["nodes"]["node2"]["status"] == "offline"
    mcv(pair[0], "permission add carol")
    mcv(pair[0], "permission remove carol")
    pair[1].boot()
    wait_until(lambda: all_online(pair), 60, "node2 being online again")
    assert told(pair[1], "info")["epoch"] == epoch
    wait_until(
        lambda: bool((view := reality.drbd(pair[1], "mcv-web1-1")) and view.is_well),
        60,
        "the replica on node2 being in step",
    )
    wait_until(lambda: running(impatient) == {"deaf", "polite"}, 60, "what ran running again")
    logged = impatient.run("journalctl --boot=-1 --unit=mcv-guests --output=cat").stdout
    assert "shutting down deaf, polite" in logged and "pulling the plug of deaf" in logged
    mcv(pair[0], "stop web1")
    mcv(impatient, "stop deaf polite")
    mcv(pair[0], "delete web1 deaf polite stopped --yes")


def running(node: Node) -> set[str]:
    return {name for name in reality.domains(node) if reality.domain(node, name) == "running"}


def test_a_restart_of_mcvd_is_no_leaving(pair: list[Node]) -> None:
    generation = told(pair[0], "info")["generation"]

    pair[1].run("systemctl restart mcvd")

    wait_until(lambda: all_online(pair), 30)
    assert told(pair[0], "info")["generation"] == generation


def test_maintenance_lasts_until_it_is_ended(pair: list[Node]) -> None:
    create(pair[1], "web1")
    refused = mcv(pair[0], "node offline node2 --yes", code=3)
    assert "node2 owns web1" in refused.stderr
    mcv(pair[1], "delete web1 --yes")

    mcv(pair[0], "node offline node2 --yes")
    pair[1].run("systemctl restart mcvd")
    mcv(pair[0], "permission add carol")
    mcv(pair[0], "permission remove carol")

    assert status(pair[0], "node2") == "offline"
    mcv(pair[0], "node online node2")
    wait_until(lambda: all_online(pair), 30)


def test_what_a_dead_node_owned_is_taken_over_and_it_comes_back_behind(
    clean_after: list[Node],
) -> None:
    one, two = clean_after
    create(two, "web1")
    mcv(two, "start web1")
    bytes_ = reality.digest(two, reality.device(two, "mcv-web1-1"), 1)
    wait_until(lambda: bool((v := reality.drbd(one, "mcv-web1-1")) and v.is_well), 30)
    one.run("sleep 3")

    two.kill()
    assert "node2" in mcv(one, "register web1 --node node1 --yes", code=3).stderr
    # Death is named once the node has been silent on all paths for a while.
    wait_until(lambda: "--confirm-dead" in mcv(one, "evacuate node2 --yes", code=3).stderr, 60)
    mcv(one, "node offline node2 --confirm-dead --yes")
    assert "last node online" in mcv(one, "node drain node1", code=3).stderr
    assert "node2 is offline" in mcv(one, "node restore node2", code=3).stderr
    assert "web1 is taken over by node1." in mcv(one, "evacuate node2 --dry-run").stdout
    assert "Next: mcv start web1" in mcv(one, "evacuate node2 --yes").stdout
    # At once: DRBD has not noticed the loss yet, or is about to.
    mcv(one, "start web1")
    mcv(one, "permission add carol")
    mcv(one, "permission remove carol")

    assert reality.domain(one, "web1") == "running"
    assert reality.digest(one, reality.device(one, "mcv-web1-1"), 1) == bytes_
    two.boot()
    wait_until(lambda: all_online(clean_after), 60, "node2 being online again")
    wait_until(lambda: reality.domains(two) == set(), 30, "node2 forgetting the domain")
    wait_until(lambda: bool((v := reality.drbd(two, "mcv-web1-1")) and v.is_well), 60)
    assert told(two, "list")[0]["node"] == "node1"
    mcv(two, "node restore node2")
    assert told(two, "list")[0]["node"] == "node2" and reality.domain(two, "web1") == "running"
    mcv(two, "stop web1")
    mcv(two, "delete web1 --yes")


@pytest.mark.soak
def test_a_keeper_that_dies_is_declared_from_the_other_side(clean_after: list[Node]) -> None:
    one, two = clean_after
    one.kill()
    assert "node1" in mcv(two, "permission add carol", code=3).stderr

    mcv(two, "node offline node1 --confirm-dead --yes")
    mcv(two, "permission add carol")
    mcv(two, "permission remove carol")

    one.boot()
    wait_until(lambda: all_online(clean_after), 60, "node1 being online again")
    mcv(one, "permission add dave")
    mcv(one, "permission remove dave")


def test_a_word_that_was_false_pauses_the_copy_that_lost_and_destroys_nothing(
    clean_after: list[Node],
) -> None:
    one, two = clean_after
    create(two, "web1")
    mcv(two, "start web1")
    wait_until(lambda: bool((v := reality.drbd(one, "mcv-web1-1")) and v.is_well), 30)
    two.cut()
    mcv(one, "node offline node2 --confirm-dead --yes", timeout=60)
    mcv(one, "register web1 --node node1 --accept-stale --yes")
    mcv(one, "start web1")
    volume = f"/dev/vg0/{'mcv-web1-1'}"
    assert reality.domain(two, "web1") == "running"

    two.heal()

    wait_until(lambda: reality.domain(two, "web1") == "paused", 30, "the copy being paused")
    assert reality.domain(one, "web1") == "running"
    assert two.run(f"test -e {volume}").code == 0
    wait_until(lambda: all_online(clean_after), 60, "node2 being online again")
    assert "mcv stop web1 --on node2" in str(told(one, "list")[0]["findings"])
    mcv(two, "stop web1 --on node2")
    assert reality.domains(two) == set()
    assert reality.domain(one, "web1") == "running"
    side_by_side(reset, clean_after)


@pytest.mark.soak
def test_a_survivor_connects_when_the_old_owner_is_primary_no_more(
    clean_after: list[Node],
) -> None:
    one, two = clean_after
    create(two, "web1")
    mcv(one, "drbd set on-peer-loss=wait")
    mcv(two, "start web1")
    # A guest that was reading when its I/O was suspended would not end.
    wait_until(lambda: reality.has_read(two), 120, "the guest having read what it boots from")
    two.cut()
    mcv(one, "node offline node2 --confirm-dead --yes", timeout=60)
    mcv(one, "register web1 --node node1 --accept-stale --yes")
    mcv(one, "start web1")

    two.heal()

    wait_until(lambda: reality.domain(two, "web1") == "paused", 30, "the copy being paused")
    # Both are Primary, and the old owner has written nothing alone: no split brain.
    wait_until(
        lambda: "StandAlone" in (connection(one), connection(two)), 60, "the two finding that out"
    )
    wait_until(lambda: all_online(clean_after), 60, "node2 being online again")
    mcv(two, "stop web1 --on node2")
    wait_until(lambda: reality.is_in_step(one, "mcv-web1-1"), 60, "both replicas being in step")
    side_by_side(reset, clean_after)


def connection(node: Node) -> str:
    view = reality.drbd(node, "mcv-web1-1")
    return view.connection if view else "absent"


def test_a_member_that_was_removed_while_it_was_away_says_so_and_can_leave(
    clean_after: list[Node],
) -> None:
    one, two = clean_after
    two.kill()
    mcv(one, "node offline node2 --confirm-dead --yes")
    assert "--force" in mcv(one, "cluster remove-node --node node2 --yes", code=3).stderr
    mcv(one, "cluster remove-node --node node2 --force --yes")
    two.boot()

    wait_until(
        lambda: any("mcv cluster leave" in line for line in told(two, "info")["attention"]),
        30,
        "node2 learning that it was removed",
    )
    assert "mcv cluster leave" in mcv(two, "permission add carol", code=3).stderr
    mcv(two, "cluster leave --yes")

    assert list(reality.document(two)["nodes"]) == ["node2"]
    mcv(
        one,
        f"cluster add-node --node node2 --ip-address {two.address} "
        "--password-file /root/password --yes",
    )
    wait_until(lambda: all_online(clean_after), 30)
