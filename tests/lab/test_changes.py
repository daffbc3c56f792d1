"""Changes of the document on real nodes: serialised, open when they have to be, never merged."""

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import mcv, told

EACH = 100
STATE = "/var/lib/mcv/$(hostname)"

# As the command line does it, without a process for each.
MANY = """
import sys
from mcv.rpc.client import Client
from mcv.errors import McvError

for number in range(int(sys.argv[2])):
    Client().run("permission.add", user=f"{sys.argv[1]}-{number:03}")
"""


def alike(nodes: list[Node]) -> bool:
    documents = [reality.document(node) for node in nodes]
    open_ = f"test -e {STATE}/proposal.json"
    return all(one == documents[0] for one in documents) and not any(
        node.run(open_, check=False).code == 0 for node in nodes
    )


def test_a_hundred_changes_asked_of_each_node_at_once_are_all_made(pair: list[Node]) -> None:
    first = reality.document(pair[0])["generation"]
    for node in pair:
        node.put(MANY, "/root/many.py")

    running = [
        node.start(f"/opt/mcv/bin/python -I /root/many.py {node.name} {EACH}") for node in pair
    ]
    said = [process.communicate(timeout=300) for process in running]

    assert [process.returncode for process in running] == [0, 0], said
    wait_until(lambda: alike(pair), 10, "the same document on both")
    document = reality.document(pair[0])
    wanted = {f"{node.name}-{number:03}" for node in pair for number in range(EACH)}
    assert set(document["permissions"]["superusers"]) == wanted
    assert document["generation"] == first + 2 * EACH
    for node in pair:
        numbers = [one["generation"] for one in told(node, "config history")]
        wanted_numbers = list(range(first + 2 * EACH, first - 1, -1))
        assert numbers[: len(wanted_numbers)] == wanted_numbers


def test_a_change_whose_outcome_is_open_says_so_and_is_settled_by_itself(
    pair: list[Node],
) -> None:
    one, two = pair
    # node2 answers, and cannot write: whether it has the proposal is not known to node1.
    blocker = f"{STATE}/.proposal.json.draft"
    two.run(f"mkdir {blocker} && mount -t tmpfs none {blocker}")  # it cannot be put aside
    try:
        refused = mcv(one, "permission add carol", code=4)
        assert reality.document(one)["permissions"]["superusers"] == []
        again = mcv(two, "permission add dave", code=3)
    finally:
        two.run(f"umount {blocker} && rmdir {blocker}")

    assert "node2" in refused.stderr and "still open" in again.stderr
    command = refused.stderr.rpartition("then: mcv ")[2].strip()
    assert command.startswith("job wait ")
    wait_until(lambda: alike(pair), 30, "the open change being settled")
    assert reality.document(two)["permissions"]["superusers"] == ["carol"]
    mcv(two, command)
    mcv(two, "permission remove carol")


@pytest.fixture
def diverged(pair: list[Node]) -> list[Node]:
    """Each node was told that the other is dead, while the link between them was cut."""
    one, two = pair
    two.cut()
    mcv(one, "node offline node2 --confirm-dead --yes", timeout=60)
    mcv(two, "node offline node1 --confirm-dead --yes", timeout=60)
    mcv(one, "permission add carol")
    mcv(two, "permission add dave")
    two.heal()
    return pair


def test_a_divergence_is_seen_shown_and_settled_by_an_operator_s_word(
    diverged: list[Node],
) -> None:
    one, two = diverged
    wait_until(
        lambda: all("document" in str(told(node, "info")["attention"]) for node in diverged),
        30,
        "both seeing that they differ",
    )
    for node, other in (diverged, diverged[::-1]):
        # Nothing else helps, so nothing else is advised first.
        assert "mcv cluster sync --from" in told(node, "info")["attention"][0]
        for words in ("permission add erin", f"node online {other.name}"):
            assert "mcv cluster sync --from" in mcv(node, words, code=3).stderr
    shown = mcv(one, "cluster check", code=5).stdout
    assert "dave" in shown and "mcv cluster sync --from" in shown
    assert "dave" in mcv(one, "cluster sync --from node1 --dry-run").stdout
    assert "--yes" in mcv(one, "cluster sync --from node1", code=3).stderr
    assert reality.document(two)["permissions"]["superusers"] == ["dave"]

    mcv(one, "cluster sync --from node1 --yes")

    wait_until(lambda: alike(diverged), 30, "the same document on both")
    wait_until(lambda: not told(two, "info")["attention"], 30, "node2 being in contact")
    assert reality.document(two)["permissions"]["superusers"] == ["carol"]
    assert "dave" in two.run(f"cat {STATE}/history/*.json").stdout
    mcv(two, "permission add erin")
    for user in ("carol", "erin"):
        mcv(one, f"permission remove {user}")
