"""What the tests of high availability stand on: watchdogs, cuts, and eyes outside of the nodes."""

import time

import pytest

from tests.lab import LabError, guests, reality, wait_until
from tests.lab.cluster import mcv
from tests.lab.cuts import deaf, unheard, without_replication
from tests.lab.ha.trio import RESOURCE, VM, Trio

pytestmark = pytest.mark.row

PING = "busybox ping -c 1 -W 1 {}"
# What systemd does with a watchdog's descriptor is not asked here: a shell holds it.
FEEDER = """
    modprobe softdog nowayout=0 soft_margin=4
    systemd-run --quiet --unit=feeder sh -c 'exec 3> /dev/watchdog1; echo . >&3; exec sleep 600'
"""


def test_a_watchdog_that_nobody_feeds_ends_its_node_which_boots_again(trio: Trio) -> None:
    node = trio.nodes[2]
    node.run(FEEDER)
    began = time.monotonic()

    off = node.wait_off(20)

    assert 2 < off - began < 10
    assert node.exit_code == 0
    node.boot()
    assert node.run("ls /dev/watchdog1", check=False).code != 0


def test_a_watchdog_that_is_closed_by_its_letter_counts_no_more(trio: Trio) -> None:
    node = trio.nodes[2]
    node.run("modprobe softdog nowayout=0 soft_margin=3 && printf V > /dev/watchdog1")

    with pytest.raises(LabError, match="does not go off"):
        node.wait_off(6)

    node.run("rmmod softdog")


def test_the_witness_is_a_machine_without_mcv(machines: Trio) -> None:
    witness = machines.witness

    assert witness.run("test -e /opt/mcv -o -e /etc/systemd/system/mcvd.service", check=False).code
    assert witness.run("etcd --version").stdout.startswith("etcd Version: 3.4")
    assert witness.run("systemctl is-enabled etcd", check=False).stdout.strip() == "masked"
    witness.run(PING.format(machines.nodes[0].address))


def test_a_node_is_cut_off_one_way_and_from_replication_alone(machines: Trio) -> None:
    one, two, three = machines.nodes

    def reaches(address: str) -> bool:
        return one.run(PING.format(address), check=False).code == 0

    def sees_a_syn(port: int) -> bool:
        """An answer of any kind, that nobody listens too, is one."""
        connect = f"timeout 2 bash -c '< /dev/tcp/{two.address}/{port}'"
        return one.run(connect, check=False).code != 124

    for cut in (deaf(one, [two]), unheard(two, [one])):
        with cut:
            assert not reaches(two.address)
            assert reaches(three.address)
        assert reaches(two.address)
    with without_replication(two):
        assert reaches(two.address)
        assert not sees_a_syn(7900)
    assert sees_a_syn(7900)


def test_a_guest_is_seen_from_outside_and_what_it_wrote_is_on_both_copies(trio: Trio) -> None:
    one, two, _ = trio.nodes
    with trio.observed() as seen:
        trio.create()
        seen.wait_for_writes(one)
        assert seen.watcher.runs(one)
        assert not seen.watcher.runs(two)
        began = time.monotonic()
        mcv(one, f"stop {VM}")
        ended = seen.watcher.wait_for_end(one, 10)
        assert ended - began < 10

        known = set(seen.acknowledged.numbers)
        assert seen.acknowledged.found == [(one.name, 0)]
        assert known == set(range(1, len(known) + 1))
        mcv(one, f"start {VM}")
        seen.wait_for_writes(one, number=5)
        seen.require_nothing_lost(one)
        # As one that is behind would show.
        assert seen.acknowledged.last - max(known) < 1000
        assert seen.acknowledged.found[-1][1] in (max(known), max(known) + 1)
    mcv(one, f"stop {VM}")
    wait_until(lambda: reality.is_in_step(one, RESOURCE), 30, "both replicas to be in step")
    mcv(one, f"delete {VM} --yes")


def test_an_idle_guest_is_seen_too(trio: Trio) -> None:
    one = trio.nodes[0]
    trio.create(guests.idle())
    with trio.observed() as seen:
        wait_until(lambda: seen.watcher.runs(one), 60, "the guest to be seen")
    mcv(one, f"stop {VM}")
    mcv(one, f"delete {VM} --yes")
