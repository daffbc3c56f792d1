"""Rights of users and groups, by real sudo: what each may do, see, and no longer do."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Node, Result, guests, reality, refusal, wait_until
from tests.lab.cluster import is_as_joined, join, mcv, reset, revive
from tests.lab.lab import side_by_side

UP = "web1 is up"
SECRET = "/root/secret.img"
SUDOERS = "%mcvusers ALL=(root) NOPASSWD: /usr/local/bin/mcv"
USERS = ("alice", "vera", "paul", "carl", "chris", "nora")
GRANTS = (
    "alice admin",
    "vera view --vm 'web*'",
    "%night power --vm 'web*'",
    "carl console --vm web1",
    "chris change --vm 'db*'",
)
PEOPLE = f"""
groupadd mcvusers && groupadd night
for user in {" ".join(USERS)}; do useradd -M -G mcvusers $user; done
usermod -a -G night paul
echo '{SUDOERS}' > /etc/sudoers.d/mcv && chmod 440 /etc/sudoers.d/mcv && visudo -cq
"""
NO_PEOPLE = f"""
rm -f /etc/sudoers.d/mcv
for user in {" ".join(USERS)}; do userdel $user; done
groupdel night; groupdel mcvusers
"""
WITHIN = 5.0  # s in which what a right kept open ends without it


@pytest.fixture(scope="module")
def once_peopled(lab: Lab) -> Iterator[list[Node]]:
    """A cluster with people, the VMs web1 (it runs) and db2 on node1, db1 on node2, and grants."""
    nodes = revive(lab, 2)
    if not is_as_joined(nodes):
        side_by_side(reset, nodes)
        join(nodes)
    one, two = nodes
    side_by_side(lambda node: node.run(f"({NO_PEOPLE}) 2> /dev/null; {PEOPLE}"), nodes)
    one.put(guests.speaker(UP), "/root/web1.img")
    one.put(guests.idle(), SECRET)
    one.run(f"chmod 600 {SECRET}")
    new = "--memory 16MiB --disk 8MiB --storage file --yes"
    mcv(one, f"create web1 {new} --image /root/web1.img --start")
    mcv(one, f"create db2 {new}")
    mcv(two, f"create db1 {new}")
    for grant in GRANTS:
        mcv(one, f"permission grant {grant}")
    yield nodes
    side_by_side(lambda node: node.run(NO_PEOPLE, check=False), nodes)


@pytest.fixture
def peopled(once_peopled: list[Node], machines: list[Node]) -> list[Node]:
    return once_peopled


def sudo(user: str) -> str:
    """What a shell of the user's makes of `sudo mcv`."""
    return f"setpriv --reuid={user} --regid={user} --init-groups sudo -n mcv"


def answers(node: Node, user: str, *commands: str) -> list[Result]:
    said = refusal.answers(node, commands, by=sudo(user))
    return [said[words] for words in commands]


def may(node: Node, user: str, *commands: str) -> list[Result]:
    """A user is obeyed on a node."""
    __tracebackhide__ = True
    said = answers(node, user, *commands)
    assert [one.code for one in said] == [0] * len(commands), (user, said)
    return said


def may_not(node: Node, user: str, *commands: str, why: str = "lacks the right") -> None:
    """A user is refused on a node, and told what is missing."""
    __tracebackhide__ = True
    for words, said in zip(commands, answers(node, user, *commands), strict=True):
        assert said.code == 3 and why in said.stdout + said.stderr, (user, words, said)


def seen(node: Node, user: str) -> list[str]:
    """The VMs in a user's list."""
    (said,) = may(node, user, "list")
    return [vm["name"] for vm in json.loads(said.stdout)]


def test_each_may_do_what_grants_say_on_either_node(peopled: list[Node]) -> None:
    one, two = peopled
    before = reality.document(one)

    for node in (two, one):
        may(node, "vera", "info web1")
        may_not(node, "vera", "info db1", "pause web1")
    may(one, "paul", "pause web1", "resume web1")
    may_not(two, "paul", "start db1", "console web1", "delete web1 --yes")
    may_not(two, "carl", "update web1 --cpus 2", "exec db2 -- true")
    may_not(
        one, "chris", "start web1", "network create dmz --bridge br-dmz", "edit db1 --remove --yes"
    )
    may_not(one, "nora", "list", "start web1", "permission grant nora admin")

    assert reality.document(one) == before


def test_lists_show_what_one_may_see_and_check_says_why(peopled: list[Node]) -> None:
    one, two = peopled

    assert seen(one, "vera") == seen(two, "paul") == ["web1"]
    assert seen(one, "chris") == ["db1", "db2"]
    assert seen(two, "alice") == ["db1", "db2", "web1"]
    (told,) = may(two, "vera", "events --since 1h")
    others = "".join(line for line in told.stdout.splitlines() if '"vera"' not in line)
    assert "web1" in others and "db" not in others
    (paul,) = may(one, "paul", "permission check paul")
    assert json.loads(paul.stdout)["rights"] == [{"right": "power", "vm": "web*", "by": "%night"}]
    (nora,) = may(one, "nora", "permission check nora")
    assert json.loads(nora.stdout)["rights"] == []
    may_not(one, "vera", "permission check paul")
    may(one, "alice", "permission check paul")


@pytest.mark.soak
def test_no_file_of_roots_is_read_or_written(peopled: list[Node]) -> None:
    one, _ = peopled
    new = "create db9 --memory 16MiB --disk 8MiB --storage file"
    before = reality.document(one)

    may_not(
        one,
        "chris",
        f"{new} --image {SECRET}",
        f"{new} --cloud-init /etc/shadow",
        f"{new} --ssh-key /etc/shadow",
        f"{new} --kernel {SECRET}",
        f"disk add db2 --image {SECRET} --yes",
        why="Permission denied",
    )
    may_not(one, "alice", "edit db1 --file /etc/shadow --yes", why="Permission denied")

    assert reality.document(one) == before


def test_who_sudo_does_not_let_run_mcv_or_becomes_somebody_else_gets_nowhere(
    peopled: list[Node],
) -> None:
    one, _ = peopled
    nora = "setpriv --reuid=nora --regid=nora --init-groups"

    for words in ("sudo -n id", "sudo -n -u alice mcv list", "sudo -n SUDO_USER=alice mcv list"):
        assert one.run(f"{nora} {words}", check=False).code == 1, words
    told = one.run(f"{nora} env SUDO_USER=root SUDO_UID=0 sudo -n mcv list", check=False)
    assert told.code == 3 and "nora lacks the right" in told.stderr


def test_a_right_that_is_taken_away_ends_what_it_kept_open(peopled: list[Node]) -> None:
    """On the node where the VM runs, and on the other, of which the right was not taken away."""
    one, two = peopled
    console = two.start(f"{sudo('carl')} console web1")
    follower = one.start(f"{sudo('carl')} events --follow")
    try:
        assert console.stdout is not None
        wait_until(lambda: UP in (console.stdout.readline() if console.stdout else ""), 60, UP)
        assert follower.poll() is None

        mcv(one, "permission revoke carl console --vm web1")
        since = time.monotonic()
        for one_open, what in ((console, "console"), (follower, "events")):
            assert one_open.wait(timeout=30) == 3, what
            assert time.monotonic() - since < WITHIN, what
    finally:
        for one_open in (console, follower):
            one_open.kill()
        mcv(one, "permission grant carl console --vm web1")
    may(two, "carl", "info web1")
