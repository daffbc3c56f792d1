"""mcv-lease through an upgrade of mcv, a kill, and the end of its host."""

import pytest

from tests.lab import Node, wait_until
from tests.lab.ha.trio import VALIDITY, Trio, all_hold, holds

pytestmark = pytest.mark.row

PID = "$(systemctl show --property=MainPID --value mcv-lease)"


def watchdogs(node: Node) -> str:
    """The watchdogs that mcv-lease and systemd have open, as the kernel names them."""
    return node.run(f"readlink /proc/{PID}/fd/* /proc/1/fd/* | grep watchdog | sort").stdout


def pid(node: Node) -> str:
    return node.run(f"echo {PID}").stdout.strip()


def test_mcv_lease_outlives_mcvd_and_systemd_keeps_its_watchdog(armed: Trio) -> None:
    node = armed.nodes[2]
    before = pid(node)
    opened = watchdogs(node).split()
    assert len(opened) == 2 and len(set(opened)) == 1, opened

    node.run("systemctl restart mcvd")
    assert pid(node) == before
    assert node.run("systemctl stop mcv-lease", check=False).code != 0
    assert pid(node) == before

    node.sigkill("mcv-lease")
    wait_until(lambda: pid(node) not in ("0", before), 20, "mcv-lease to begin again")
    wait_until(lambda: holds(node), VALIDITY, "its lease")
    assert watchdogs(node).split() == opened
    wait_until(lambda: all_hold(armed.nodes), 30, "all nodes to have their lease")


def test_a_host_that_goes_down_gives_its_lease_back_and_is_not_reset(armed: Trio) -> None:
    one, _, three = armed.in_roles()
    three.shutdown()
    three.boot()

    said = three.run("journalctl --boot=-1 --unit=mcv-lease --output=cat").stdout
    assert "nothing runs here: the lease is given back" in said, said
    log = three.run("journalctl --boot=-1 --output=cat").stdout
    assert "watchdog did not stop" not in log
    armed.come_back(three)
    assert holds(one)
