"""The document on disk: torn, edited or newer, it is fetched or refused, never lost."""

from collections.abc import Iterator

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import create, mcv, told
from tests.lab.test_declared import all_online


def path(node: Node) -> str:
    return f"/var/lib/mcv/{node.name}/config.json"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("truncate -s 200 {0}", id="torn", marks=pytest.mark.soak),
        pytest.param("sed -i s/continue/wait/ {0}", id="edited"),
        pytest.param("echo > {0}", id="empty", marks=pytest.mark.soak),
    ],
)
def test_a_faulty_document_is_fetched_from_the_others(pair: list[Node], damage: str) -> None:
    two = pair[1]
    good = reality.document(two)
    two.run("systemctl stop mcvd")
    two.run(damage.format(path(two)))

    two.run("systemctl start mcvd")

    wait_until(lambda: all_online(pair), 30)
    assert reality.document(two) == good == reality.document(pair[0])
    assert two.run(f"ls {path(two)}.faulty-*").code == 0
    two.run(f"rm {path(two)}.faulty-*")


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
        ('sed -i \'s/"schema": 1/"schema": 99/\' {0}', "newer mcv"),
    ],
    ids=["torn", "newer"],
)
def test_alone_a_faulty_document_is_refused_with_its_place_and_a_way_out(
    alone: Node, damage: str, said: str
) -> None:
    alone.run("systemctl stop mcvd")
    alone.run(damage.format(path(alone)))
    faulty = alone.run(f"cat {path(alone)}").stdout

    told_ = alone.run("timeout 20 /usr/local/bin/mcvd", check=False)

    assert told_.code == 1
    assert said in told_.stderr and path(alone) in told_.stderr
    assert alone.run(f"cat {path(alone)}").stdout == faulty
    if said != "newer mcv":
        assert "history/" in told_.stderr


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
        assert ended.split() == ["failed", "3", "0"]
        said = two.run("journalctl --unit mcvd --lines 5").stdout
        assert f"the node other now, and {state} holds the document of node2" in said
        assert two.run("ls /var/lib/mcv").stdout.split() == ["node2"]

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
