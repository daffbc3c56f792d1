"""mcv fence on real nodes: a power service outside of them switches them off and on."""

import json
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Node, wait_until
from tests.lab.cluster import in_contact, mcv, told
from tests.lab.ha.fenced import come_on, powered
from tests.lab.ha.trio import Trio
from tests.lab.lab import side_by_side
from tests.lab.power import PASSWORD, Mode, Power

pytestmark = pytest.mark.row

LOOKED_AT = "/var/lib/mcv /var/log /etc /run/mcv"  # where a secret might be left


@pytest.fixture
def power(ha_lab: Lab, trio: Trio) -> Iterator[Power]:
    """The service, and node3's plug in the device pdu."""
    with powered(ha_lab, trio, trio.nodes[2:]) as power:
        yield power


def rows(node: Node, words: str, code: int = 0) -> list[tuple[str, bool, bool]]:
    """State, whether it was tested, whether it is well, of each plug."""
    said = json.loads(mcv(node, f"{words} --json", code, timeout=600).stdout)
    return [(row["state"], bool(row["tested"]), row["ok"]) for row in said]


def require_no_secret(node: Node) -> None:
    """The password is in a file below pki/fence/ of every node, and nowhere else."""
    found = node.run(f"grep -rlF {PASSWORD} {LOOKED_AT}", check=False).stdout.split()
    assert found and all("/pki/fence/" in path for path in found), found
    modes = node.run("stat -c %a /var/lib/mcv/*/pki/fence /var/lib/mcv/*/pki/fence/*").stdout
    assert set(modes.split()) == {"700", "600"}
    logged = node.run(f"journalctl --no-pager | grep -cF {PASSWORD}", check=False).stdout
    assert logged.strip() == "0"


def test_a_plug_is_tested_and_a_node_switched_off_and_on(trio: Trio, power: Power) -> None:
    one, two, three = trio.nodes
    assert rows(one, f"fence test {three.name}") == [("on", False, True)]
    refused = mcv(one, f"fence off {three.name} --yes", code=3).stderr
    assert f"mcv fence test {three.name} --off" in refused

    assert rows(two, f"fence test {three.name} --off --yes") == [("on", True, True)]
    three.wait()
    wait_until(lambda: in_contact(trio.nodes), 120, "node3 to be back")
    side_by_side(require_no_secret, trio.nodes)

    shown = mcv(one, f"fence off {three.name} --dry-run").stdout
    assert "password=********" in shown and PASSWORD not in shown and three.is_running
    assert rows(one, f"fence off {three.name} --yes") == [("off", True, True)]
    assert not three.is_running
    assert rows(one, f"fence on {three.name}") == [("on", True, True)]
    three.wait()
    wait_until(lambda: in_contact(trio.nodes), 120, "node3 to be back")
    assert told(one, "fence device list")[0]["nodes"] == [three.name]


@pytest.mark.soak
@pytest.mark.parametrize("mode", [Mode.WRONG_PLUG, Mode.LIE_IN_BOTH, Mode.HANG])
def test_a_plug_that_is_no_good_is_found_before_it_matters(
    trio: Trio, power: Power, mode: Mode
) -> None:
    one, two, three = trio.nodes
    power.mode("3", mode, wired=str(two.number))

    found = rows(one, f"fence test {three.name} --off --yes", code=5)

    assert [tested for _, tested, _ in found] == [False]
    assert not any(ok for _, _, ok in found)
    come_on(two)
    wait_until(lambda: in_contact(trio.nodes), 120, "all nodes to be back")
    assert three.is_running
    assert told(one, "fence status node3")[0]["tested"] == ""
