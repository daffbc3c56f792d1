"""The document on disk: torn, edited or newer, it is fetched or refused, never lost."""

from collections.abc import Iterator

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import create, mcv, told
from tests.lab.test_declared import all_online


def path(node: Node) -> str:
    return f"/var/lib/mcv/{node.name}/config.json"


def test_an_edited_document_is_fetched_from_the_others(pair: list[Node]) -> None:
    two = pair[1]
    good = reality.document(two)
    two.run("systemctl stop mcvd")
    two.run(f"sed -i s/continue/wait/ {path(two)}")

    two.run("systemctl start mcvd")

    wait_until(lambda: all_online(pair), 30)
    assert reality.document(two) == good == reality.document(pair[0])
    assert two.run(f"ls {path(two)}.faulty-*").code == 0
    two.run(f"rm {path(two)}.faulty-*")


def nothing_but_reads(node: Node) -> str:
    """What a node says of itself that takes part in nothing; a change is refused in words."""
    (line,) = [line for line in told(node, "info")["attention"] if "takes part in nothing" in line]
    assert told(node, "list") is not None and told(node, "config history")
    assert path(node) in mcv(node, "permission add carol", code=3).stderr
    return str(line)


def test_a_torn_document_serves_reads_and_its_way_out_works(pair: list[Node]) -> None:
    one, two = pair
    two.run(f"systemctl stop mcvd; truncate -s 200 {path(two)}")
    torn = two.run(f"cat {path(two)}").stdout

    two.run("systemctl start mcvd")

    line = nothing_but_reads(two)
    assert "node2" in mcv(one, "permission add carol", code=3).stderr
    assert two.run(f"cat {path(two)}").stdout == torn
    two.run(line[line.index("cp /") :])
    wait_until(lambda: all_online(pair), 30)
    mcv(one, "permission add carol")
    mcv(two, "permission remove carol")


@pytest.fixture
def alone(strangers: list[Node]) -> Iterator[Node]:
    node = strangers[0]
    node.run(f"cp {path(node)} /root/good.json")
    yield node
    node.run(f"systemctl stop mcvd; cp /root/good.json {path(node)}")
    node.run("systemctl reset-failed mcvd; systemctl start mcvd")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("sed -i '5s/.*/  oops/' {0}", "line 5"),
        ('sed -i -E \'s/"schema": [0-9]+/"schema": 99/\' {0}', "newer mcv"),
        ("echo > {0}", "no JSON"),
    ],
    ids=["torn", "newer", "empty"],
)
def test_alone_a_document_that_cannot_be_read_is_left_as_it_is(
    alone: Node, damage: str, said: str
) -> None:
    alone.run("systemctl stop mcvd")
    alone.run(damage.format(path(alone)))
    faulty = alone.run(f"cat {path(alone)}").stdout

    alone.run("systemctl start mcvd")

    line = nothing_but_reads(alone)
    assert said in line and path(alone) in line
    assert alone.run(f"cat {path(alone)}").stdout == faulty
    assert "newer" in said or "history/" in line


def test_history_tells_who_when_why_and_what(pair: list[Node]) -> None:
    one = pair[0]
    one.run("SUDO_USER=carol SUDO_UID=4242 mcv permission add dave")
    first = told(one, "info")["generation"]
    mcv(one, "permission remove dave")

    history = told(one, "config history")
    diff = mcv(one, f"config diff {first - 1} {first}").stdout

    assert (history[1]["who"], history[1]["why"]) == ("carol", "permission add dave")
    assert history[1]["when"].endswith("Z")
    assert "dave" in diff
    assert told(one, f"config show --generation {first}")["permissions"]["superusers"] == ["dave"]


def test_a_changed_address_is_taken_up(pair: list[Node]) -> None:
    two = pair[1]
    two.run("ip address add 10.99.0.12/24 dev vec0")
    two.run("cp /etc/mcv/mcv.conf /root/mcv.conf; echo 'address = 10.99.0.12' >> /etc/mcv/mcv.conf")
    try:
        two.run("systemctl restart mcvd")
        wait_until(
            lambda: reality.document(pair[0])["nodes"]["node2"]["ip_address"] == "10.99.0.12", 30
        )
        wait_until(lambda: all_online(pair), 30)
        mcv(pair[0], "permission add carol")
        mcv(two, "permission remove carol")
    finally:
        two.run("cp /root/mcv.conf /etc/mcv/mcv.conf; systemctl restart mcvd")
    wait_until(lambda: reality.document(pair[0])["nodes"]["node2"]["ip_address"] == two.address, 30)
    wait_until(lambda: all_online(pair), 30)
    two.run("ip address del 10.99.0.12/24 dev vec0")


@pytest.mark.soak
def test_a_renamed_host_begins_nothing_anew_and_its_drbd_finds_its_documents(
    pair: list[Node],
) -> None:
    one, two = pair
    state = "/var/lib/mcv/node2"
    create(two, "web1")
    two.run("cp /etc/mcv/mcv.conf /root/mcv.conf; hostname other")
    try:
        two.run("systemctl restart mcvd", check=False)
        ended = two.run("systemctl show mcvd -P ActiveState -P ExecMainStatus -P NRestarts").stdout
        assert sorted(ended.split()) == ["0", "3", "failed"]
        said = two.run("journalctl --unit mcvd --lines 5").stdout
        assert f"the node other now, and {state} holds the document of node2" in said
        # No other node's directory beside the two that have the same name on every node.
        assert two.run("ls -A /var/lib/mcv").stdout.split() == ["images", "node2", "pool"]

        # As the kernel asks: drbdadm finds the resource, the handler this node's directory.
        note = f"{state}/notes/mcv-web1-1.out-of-sync.json"
        two.run(f"drbdadm out-of-sync minor-100 && rm {note}")

        two.run(f"printf 'node = node2\\naddress = {two.address}\\n' >> /etc/mcv/mcv.conf")
        two.run("systemctl start mcvd")
        wait_until(lambda: all_online(pair), 30)
        mcv(two, "start web1")
        mcv(two, "stop web1")
        mcv(one, "migrate --node node1 web1")
    finally:
        two.run("hostname node2; cp /root/mcv.conf /etc/mcv/mcv.conf; systemctl restart mcvd")
    wait_until(lambda: all_online(pair), 30)
    mcv(one, "delete web1 --yes")
