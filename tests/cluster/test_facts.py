"""The facts of a host: gathered, sent over SSH as JSON, and checked on arrival."""

import json
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from mcv.api import dispatch
from mcv.cluster import facts, join, joining, remote_facts
from mcv.cluster.facts import NodeFacts
from mcv.errors import CommandFailed, Failed, Refused
from mcv.host import Host
from mcv.rpc.auth import Caller
from mcv.system import ssh
from tests.fakes.cluster import FakeCluster
from tests.fakes.facts import blank_facts

ROOT = Caller("operator", "root", superuser_shell=True)
KEYS = {
    "version",
    "schema",
    "node",
    "hostname",
    "resolves",
    "address",
    "drbd_address",
    "port",
    "certificate",
    "time",
    "cluster",
    "members",
    "vms",
    "networks",
    "reached",
    "rights_of",
    "etcd_certificate",
    "etcd_lacks",
    "watchdog",
    "trouble",
    "emulator",
    "domain_type",
    "domains",
    "capacity",
    "drbd",
}


class Remote:
    """A host that answers over SSH with a text, or with an error."""

    def __init__(self, answer: str | CommandFailed) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def run(self, *words: str, stdin: str = "") -> str:
        self.asked.append(" ".join(words))
        if isinstance(self.answer, CommandFailed):
            raise self.answer
        return self.answer


def asked(answer: str | CommandFailed) -> NodeFacts:
    return remote_facts.ask(cast(Any, Remote(answer)), "n2", "10.0.0.1:8420")


def test_what_a_host_prints_arrives_as_the_same_facts(cluster: FakeCluster) -> None:
    printed = dispatch.serve(cluster.hosts["n1"], ROOT, "cluster.facts", {}, {})

    theirs = asked(json.dumps(printed))

    assert printed.keys() == KEYS
    assert (theirs.node, theirs.address, theirs.members) == ("n1", "10.0.0.1", ["n1", "n2"])
    assert theirs.capacity is not None and theirs.capacity.bridges == ["br-lan"]
    assert theirs.drbd is not None and (theirs.drbd.problem, theirs.trouble) == ("", [])
    assert msgspec.to_builtins(theirs) == printed


def test_a_tool_that_does_not_answer_is_told_and_the_rest_is_known(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise CommandFailed("it is away.")

    monkeypatch.setattr(cluster.domains["n1"], "capabilities", fails)
    monkeypatch.setattr(cluster.lvm["n1"], "groups", fails)

    told = facts.facts(cluster.hosts["n1"])

    assert told.trouble == ["libvirt: it is away.", "LVM: it is away."]
    assert (told.node, told.emulator, told.domains, told.capacity) == ("n1", None, None, None)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{}",
        "[]",
        "no JSON",
        json.dumps({**msgspec.to_builtins(blank_facts("n2", "10.0.0.2")), "members": "n2"}),
        json.dumps({**msgspec.to_builtins(blank_facts("n2", "10.0.0.2")), "time": None}),
    ],
)
def test_an_answer_of_another_shape_is_refused_in_words(answer: str) -> None:
    with pytest.raises(Refused, match="n2 answers with something that is not mcv") as refused:
        asked(answer)

    assert refused.value.hint == "Install the same version of mcv on both nodes."


def test_keys_of_a_later_version_are_passed_over() -> None:
    later = {**msgspec.to_builtins(blank_facts("n2", "10.0.0.2")), "witness": True}

    assert asked(json.dumps(later)) == blank_facts("n2", "10.0.0.2")


def exited(code: int, last: str) -> ssh.Exited:
    return ssh._exited("mcv cluster facts", "10.0.0.2", code, last)


DOWN = json.dumps(
    {"error": "daemon-down", "message": "mcvd does not run.", "hint": "", "problems": []}
)
BUSY = json.dumps({"error": "busy", "message": "It is busy.", "hint": "Wait."})


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (exited(127, "bash: mcv: command not found"), "There is no mcv on n2.", "Install it there"),
        (exited(3, f"motd\n{DOWN}"), "mcvd does not answer on n2.", "systemctl start mcvd"),
        (exited(3, BUSY), "n2 does not tell its facts: It is busy.", "Wait."),
        (exited(1, "x" * 9000), "exited with 1: xxx", ""),
        (CommandFailed("It did not end."), "n2 does not tell its facts: It did", "its load"),
    ],
)
def test_a_host_without_facts_is_refused_in_its_own_words_and_what_fits(
    error: CommandFailed, message: str, hint: str
) -> None:
    with pytest.raises(Refused) as refused:
        asked(error)

    assert message in refused.value.message and len(refused.value.message) < 700
    assert hint in refused.value.hint and bool(hint) == bool(refused.value.hint)
    assert "{" not in refused.value.message


def test_what_a_login_shell_prints_stands_in_nobody_s_way() -> None:
    facts_ = json.dumps(msgspec.to_builtins(blank_facts("n2", "10.0.0.2")), indent=2)

    assert asked(f"Welcome {{to}} n2\x1b[0m\ufffd {facts_}\nbye") == blank_facts("n2", "10.0.0.2")
    with pytest.raises(Refused, match="not this mcv's: Only maintenance today"):
        asked("Only maintenance\ntoday")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"operation": "a1", "members": [{"name": "n1"}]}']
)
def test_what_is_no_stage_is_refused_and_nothing_is_staged(tmp_path: Path, text: str) -> None:
    host = FakeCluster(tmp_path, ("n1",)).hosts["n1"]

    with pytest.raises(Refused, match="This is no join that a cluster has begun"):
        joining.stage_join(host, document=text)

    assert joining.staged(host) is None


def test_a_stage_is_kept_for_ten_minutes_and_for_its_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeCluster(tmp_path, ("n1",)).hosts["n1"]
    member = {"name": "n9", "ip_address": "10.0.0.9", "certificate": "certificate of n9"}
    joining.stage_join(host, document=json.dumps({"operation": "a1", "members": [member]}))

    joining.unstage_join(host, operation="b2")
    stage = joining.staged(host)
    assert stage is not None and msgspec.to_builtins(stage.members) == [member]

    monkeypatch.setattr("time.time", lambda: stage.since + joining.STAGED_FOR + 1)
    assert joining.staged(host) is None and not joining.stage_path(host).exists()


def test_why_a_join_failed_is_told_whether_the_node_can_be_told_to_forget_it_or_not(
    cluster: FakeCluster,
) -> None:
    class Gone(Remote):
        def run(self, *words: str, stdin: str = "") -> str:
            if "unstage-join" in words:
                raise CommandFailed("`mcv cluster unstage-join`: no answer.")
            return ""

    host = cluster.hosts["n1"]
    member = replace(host.read().nodes["n2"], name="n3")

    def join_it(host: Host) -> None:
        with join._staged_there(host, cast(Any, Gone("")), member):
            raise Failed("add node n3 failed and was undone: n3 is full.")

    with pytest.raises(Failed, match="n3 is full"):
        cluster.run("n1", join_it)

    assert host.joining == {}


def test_a_node_whose_name_etcd_keeps_for_something_else_is_refused_at_once(
    cluster: FakeCluster,
) -> None:
    with pytest.raises(Refused, match="A node is not called manager"):
        cluster.run("n1", join.add_node, node="manager", ip_address="10.0.0.7")
