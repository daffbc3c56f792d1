"""A peer that is away: reads answer, changes are refused in words, what is one's own goes on."""

from collections.abc import Callable, Iterator

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import create, mcv, told, wait_for_contact

READ = 3.0  # seconds from Enter to prompt
CHANGE = 10.0
DEATH = "--confirm-dead"


@pytest.fixture
def owner(pair: list[Node]) -> Iterator[Node]:
    """node1, with web1 on it; node2 is brought back after the test, and web1 is gone."""
    create(pair[0], "web1")
    yield pair[0]
    pair[1].heal()
    if not pair[1].is_running:
        pair[1].boot()
    pair[1].sigcont()
    wait_for_contact(pair)
    mcv(pair[0], "stop web1", code=0 if reality.domain(pair[0], "web1") == "running" else 3)
    mcv(pair[0], "delete web1 --yes")


def timed(node: Node, words: str, code: int = 0) -> tuple[float, str]:
    """How many seconds a command took on the node's own clock, and all that it said."""
    script = f"s=$(date +%s.%N); mcv {words}; c=$?; e=$(date +%s.%N); echo TOOK $s $e $c"
    said = node.run(f"{{ {script}; }} 2>&1").stdout
    text, _, tail = said.rpartition("TOOK ")
    began, ended, exited = tail.split()
    assert int(exited) == code, text
    return float(ended) - float(began), text


AWAY: list[tuple[str, Callable[[Node], None]]] = [
    ("mcvd stands still", lambda node: node.sigstop()),
    ("cut off", lambda node: node.cut()),
    ("powered off", lambda node: node.kill()),
]


# A host without power answers as little as one that is cut off, or whose mcvd stands still.
CASES = [
    pytest.param(how, go_away, id=how, marks=() if how == "powered off" else pytest.mark.soak)
    for how, go_away in AWAY
]


@pytest.mark.parametrize(("how", "go_away"), CASES)
def test_reads_answer_changes_are_refused_and_own_vms_obey(
    owner: Node, pair: list[Node], how: str, go_away: Callable[[Node], None]
) -> None:
    before = reality.document(owner)
    go_away(pair[1])

    for words in ("list", "info", "info web1", "drbd list", "network list", "job list"):
        for _ in range(5):  # a busy machine may be in the way of some
            seconds, said = timed(owner, words)
            if seconds < READ:
                break
        assert seconds < READ, f"mcv {words} took {seconds} s"
        if words == "info":
            assert "unreachable" in said and "comes back" in said
    # A host that a ping reaches is never said to be dead, another host after a while.
    is_dead = how != "mcvd stands still"
    if is_dead:
        wait_until(lambda: DEATH in timed(owner, "info")[1], 60, "the advice to declare it dead")
    for words in ("permission add carol", "create web2 --memory 16MiB --disk 8MiB"):
        for _ in range(3):
            seconds, said = timed(owner, words, code=3)
            if seconds < CHANGE:
                break
        assert seconds < CHANGE, f"mcv {words} took {seconds} s"
        assert "node2" in said and "comes back" in said
        assert (DEATH in said) is is_dead
    if not is_dead:
        refused = mcv(owner, "node offline node2 --confirm-dead --yes", code=3)
        assert "node2 answers" in refused.stderr
    for words in ("start web1", "reset web1", "stop web1", "start web1"):
        mcv(owner, words)

    assert reality.domain(owner, "web1") == "running"
    assert reality.document(owner) == before


def test_a_libvirtd_that_hangs_holds_nobody_up_and_nothing_runs_twice(
    owner: Node, pair: list[Node]
) -> None:
    owner.sigstop("libvirtd")
    try:
        for node in pair:
            for words in ("list", "info", "info web1"):
                for _ in range(5):
                    seconds, said = timed(node, words)
                    if seconds < READ:
                        break
                assert seconds < READ, f"mcv {words} took {seconds} s"
                assert "libvirt does not answer" in said and DEATH not in said
            info = told(node, "info", at_once=True)
            problems = {one["name"]: (one["status"], one["problem"]) for one in info["nodes"]}
            assert problems["node1"] == ("online", "libvirt does not answer")
            [row] = told(node, "list", at_once=True)
            assert row["state"] == "unknown"
        started = mcv(owner, "start web1", code=4)
        assert "libvirt" in started.stderr and "mcv job wait" in started.stderr
        mcv(pair[1], "migrate --node node2 web1", code=3)
        mcv(pair[1], "node offline node1 --confirm-dead --yes", code=3)
        assert reality.domain(pair[1], "web1") == "absent"
    finally:
        owner.sigcont("libvirtd")

    wait_until(lambda: reality.domain(owner, "web1") == "running", 60, "the start")
    wait_for_contact(pair)
    assert seen(pair[1]) == ("running", None)
    assert not told(pair[1], "locks list")["claims"]


def seen(node: Node) -> tuple[str, str | None]:
    """The state and the attention of web1, the only VM."""
    [row] = told(node, "list")
    return row["state"], row["attention"]


def test_a_guest_stands_still_and_goes_on_and_one_that_is_killed_has_crashed(
    owner: Node, pair: list[Node]
) -> None:
    mcv(owner, "start web1")
    owner.run("virsh suspend web1")
    assert "mcv resume web1" in mcv(owner, "shutdown web1", code=3).stderr
    assert "mcv resume web1" in mcv(owner, "migrate --node node2 web1", code=3).stderr
    assert "paused" in mcv(owner, "reset web1").stdout
    mcv(pair[1], "resume web1")
    assert reality.domain(owner, "web1") == "running"
    mcv(owner, "pause web1")
    wait_until(lambda: seen(pair[1]) == ("paused", None), 30, "the pause being told")

    owner.run("pkill -9 -f guest=web1")

    wait_until(lambda: seen(pair[1])[0] == "crashed", 30, "the crash being told")
    wait_until(lambda: "mcv start web1" in str(seen(owner)[1]), 30, "the advice to start it")
    mcv(owner, "start web1")
    wait_until(lambda: seen(owner) == ("running", None), 30, "all being well")


def test_without_room_power_works_and_all_else_is_refused_in_words(
    owner: Node, pair: list[Node]
) -> None:
    before = reality.document(owner)
    # libvirt itself starts nothing where its own directory is full, so mcv's alone is.
    owner.run(
        "systemctl stop mcvd && cp -a /var/lib/mcv /root/state && "
        "mount -t tmpfs -o size=24M tmpfs /var/lib/mcv && cp -a /root/state/. /var/lib/mcv && "
        "systemctl start mcvd"
    )
    try:
        wait_for_contact(pair)
        owner.run("cat /dev/zero > /var/lib/mcv/fill", check=False)
        for words in ("start web1", "reset web1", "stop web1"):
            mcv(owner, words)
        for node in pair:
            for words in ("permission add carol", "migrate --node node2 web1", "lock web1"):
                refused = mcv(node, words, code=3).stderr
                assert "full" in refused and "node1" in refused and "internal" not in refused
            assert "/var/lib/mcv is full" in mcv(node, "info").stdout
            assert "full" in mcv(node, "cluster check", code=5).stdout
        wait_until(lambda: all("full" in str(seen(node)[1]) for node in pair), 30, "list says so")
        assert not [one for one in told(owner, "job list") if one["state"] == "running"]
        owner.run("systemctl restart mcvd")
        mcv(owner, "info")
        since = "journalctl --unit mcvd --since -60s --no-pager"
        assert "Traceback" not in owner.run(since).stdout
    finally:
        owner.run("systemctl stop mcvd && umount --lazy /var/lib/mcv && systemctl start mcvd")
        owner.run("rm -rf /root/state")

    wait_for_contact(pair)
    assert reality.document(owner) == before
    mcv(owner, "lock web1")
    mcv(owner, "unlock web1")
