"""How a call is served: who may ask, where it belongs, what its parameters must be."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.api import dispatch
from mcv.api.operation import NODE, here
from mcv.api.table import TABLE
from mcv.cluster import members
from mcv.document.subject import Subject
from mcv.errors import NotPermitted, OutOfStep, Refused
from mcv.rpc.auth import Caller
from mcv.rules.rights import Person, Right
from mcv.system.locks import Locks
from mcv.transaction.journal import Escort
from mcv.vm import create
from tests.documents import vm
from tests.fakes.cluster import FakeCluster

ROOT = Caller("operator", "root", superuser_shell=True)
ALICE = Caller("operator", "alice", pid=4711, sudo_uid=1000)
PEER = Caller("peer", "n2")


class Forwarded(list[Any]):
    """Notes what is forwarded, and answers for the other node."""

    def __call__(self, node: str, operation: str, params: dict[str, Any], person: Person) -> str:
        self.append((node, operation, params, person.name))
        return "forwarded"


@pytest.fixture
def forwarded(cluster: FakeCluster) -> Forwarded:
    noted = Forwarded()
    cluster.hosts["n1"].forward = noted
    return noted


def ask(cluster: FakeCluster, caller: Caller, operation: str, /, **params: Any) -> Any:
    epoch = cluster.read().epoch
    context = {"epoch": [epoch.number, epoch.id], "who": "bob"}
    return dispatch.serve(cluster.hosts["n1"], caller, operation, params, context)


def ended(cluster: FakeCluster, answer: Any) -> dict[str, Any]:
    job = cluster.hosts["n1"].jobs.get(answer["job"])
    while job.follow(10**9, 0.05)["state"] == "running":
        pass
    return job.plain()


@pytest.mark.parametrize("operation", [key for key, row in TABLE.items() if "peer" not in row.who])
def test_what_is_for_operators_a_peer_is_not_given(cluster: FakeCluster, operation: str) -> None:
    with pytest.raises(NotPermitted, match="not for peers"):
        ask(cluster, PEER, operation)


@pytest.mark.parametrize(
    "operation", [key for key, row in TABLE.items() if "operator" not in row.who]
)
def test_what_is_for_peers_an_operator_is_not_given(cluster: FakeCluster, operation: str) -> None:
    with pytest.raises(NotPermitted, match="not for operators"):
        ask(cluster, ROOT, operation)


def test_an_unknown_operation_and_wrong_parameters_are_refused_in_words(
    cluster: FakeCluster,
) -> None:
    with pytest.raises(Refused, match=r"no operation vm.fly"):
        ask(cluster, ROOT, "vm.fly")
    for params in ({}, {"name": "web1", "colour": "red"}):
        with pytest.raises(Refused, match=r"vm.start was called in a way that") as error:
            ask(cluster, ROOT, "vm.start", **params)
        assert "same version" in error.value.hint
    assert cluster.hosts["n1"].jobs.listed() == []


def test_while_there_is_no_superuser_everybody_may(cluster: FakeCluster) -> None:
    assert ended(cluster, ask(cluster, ALICE, "vm.lock", name="web9"))["state"] == "failed"


def test_superusers_are_named_and_a_root_shell_is_no_subject_of_them(
    cluster: FakeCluster,
) -> None:
    ended(cluster, ask(cluster, ALICE, "permission.add", user="bob"))

    with pytest.raises(NotPermitted, match="alice lacks the right admin") as error:
        ask(cluster, ALICE, "permission.add", user="alice")

    assert "mcv permission grant alice admin" in error.value.hint
    with pytest.raises(NotPermitted, match="alice lacks the right view over any VM"):
        ask(cluster, ALICE, "vm.list")
    assert ended(cluster, ask(cluster, ROOT, "permission.add", user="carol"))["state"] == "done"
    assert (
        ended(cluster, ask(cluster, Caller("operator", "bob"), "permission.add", user="dave"))[
            "state"
        ]
        == "done"
    )


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("cluster.facts", {}),
        ("cluster.facts", {"reach": ["10.0.0.9:22"]}),
        ("cluster.host_key", {"ip_address": "10.0.0.9"}),
    ],
)
def test_what_tries_addresses_or_tells_all_of_a_host_is_for_superusers(
    cluster: FakeCluster, operation: str, params: dict[str, Any]
) -> None:
    ended(cluster, ask(cluster, ALICE, "permission.add", user="bob"))

    with pytest.raises(NotPermitted, match="alice lacks the right admin"):
        ask(cluster, ALICE, operation, **params)


@pytest.mark.parametrize("operation", [key for key, row in TABLE.items() if row.job])
def test_whatever_changes_something_needs_the_right(operation: str) -> None:
    assert TABLE[operation].right is not Right.VIEW


def test_who_typed_it_is_recorded_with_the_change(cluster: FakeCluster) -> None:
    ended(cluster, ask(cluster, ALICE, "permission.add", user="bob"))

    assert cluster.read("n2").change.who == "alice"
    assert cluster.read("n2").change.why == "permission add bob"


def test_a_vm_of_another_node_is_forwarded_there_once_as_it_was_asked(
    cluster: FakeCluster, forwarded: Forwarded
) -> None:
    cluster.run("n2", create.create, name="web2", memory="64MiB")

    assert ask(cluster, ALICE, "vm.start", name="web2") == "forwarded"

    assert forwarded == [("n2", "vm.start", {"name": "web2"}, "alice")]
    answer = ended(cluster, ask(cluster, PEER, "vm.start", name="web2"))
    assert len(forwarded) == 1 and "belongs to n2" in answer["error"]["message"]


def test_the_node_of_a_new_vm_is_no_parameter_of_its_creation(
    cluster: FakeCluster, forwarded: Forwarded
) -> None:
    ask(cluster, ALICE, "vm.create", name="web2", memory="64MiB", node="n2")
    assert forwarded == [
        ("n2", "vm.create", {"name": "web2", "memory": "64MiB", "node": "n2"}, "alice")
    ]

    for caller in (ALICE, PEER):
        name = f"web-{caller.name}"
        job = ended(
            cluster, ask(cluster, caller, "vm.create", name=name, memory="64MiB", node="n1")
        )
        assert job["state"] == "done" and cluster.read().vm(name).node == "n1"
    assert ended(cluster, ask(cluster, PEER, "vm.delete", name="web9"))["who"] == "bob"


def test_nothing_is_forwarded_to_a_node_that_is_not_there_or_offline(
    cluster: FakeCluster, forwarded: Forwarded
) -> None:
    with pytest.raises(Refused, match=r"no node n9") as error:
        ask(cluster, ROOT, "vm.create", name="web2", memory="64MiB", node="n9")
    assert "n1, n2" in error.value.hint
    cluster.run("n2", members.offline, names=["n2"])

    with pytest.raises(Refused, match="n2 is offline"):
        ask(cluster, ROOT, "vm.create", name="web2", memory="64MiB", node="n2")

    assert forwarded == []


def test_of_a_vm_whose_owner_is_offline_the_takeover_is_named(
    cluster: FakeCluster, forwarded: Forwarded
) -> None:
    document = cluster.read()
    away = document.with_node(replace(document.node("n2"), status="offline"))
    for agreement in cluster.agreements.values():
        agreement.store.begin(away.with_vm(vm("web9", node="n2")))

    with pytest.raises(Refused, match="n2 is offline") as refused:
        ask(cluster, ROOT, "vm.start", name="web9")

    assert refused.value.hint.endswith("; or take web9 over: mcv register web9 --node n1")
    assert forwarded == []


def test_a_member_is_removed_by_one_that_stays(cluster: FakeCluster, forwarded: Forwarded) -> None:
    ask(cluster, ROOT, "cluster.remove_node", node="n1")

    assert forwarded == [("n2", "cluster.remove_node", {"node": "n1"}, "root")]


def test_a_peer_out_of_step_is_refused_but_may_ask_about_the_document(
    cluster: FakeCluster,
) -> None:
    host = cluster.hosts["n1"]
    old = {"epoch": [0, "before"]}

    for context in (old, {}):
        with pytest.raises(OutOfStep, match="not in step"):
            dispatch.serve(host, PEER, "repair.here", {}, context)

    assert dispatch.serve(host, PEER, "config.poll", {}, old)["generation"] == 1


def test_a_step_is_served_for_a_claim_alone(cluster: FakeCluster) -> None:
    for operation, row in TABLE.items():
        if row.step:
            known = {"name": "web1", "disk": 1, "node": "n2", "source": "n1"}
            wanted = row.function.__code__.co_varnames[1 : row.function.__code__.co_argcount]
            params = {key: known.get(key, "x") for key in wanted}
            with pytest.raises(OutOfStep):
                ask(cluster, PEER, operation, **params)


def claimed(cluster: FakeCluster, subject: str, on: str, operation: str = "job1") -> dict[str, Any]:
    """A claim that a node holds, and the escort of a step for it."""
    kind, _, name = subject.partition(":")
    cluster.hosts[on].consensus.propose(
        f"{kind}.claim", {"name": name, "why": "x"}, id=f"{operation}.1", who="a", why="x"
    )
    claim = cluster.read().claim_of(Subject.parse(subject))
    assert claim is not None
    claims = [{"subject": subject, "number": [claim.epoch, claim.generation]}]
    return {"operation": operation, "serial": 1, "claims": claims}


def ask_with(cluster: FakeCluster, escort: dict[str, Any], operation: str, /, **params: Any) -> Any:
    """A step that the member n2 asks n1 for."""
    epoch = cluster.read().epoch
    context = {"epoch": [epoch.number, epoch.id], "escort": escort}
    return dispatch.serve(cluster.hosts["n1"], PEER, operation, params, context)


STEPS = [operation for operation, row in TABLE.items() if row.step]


def step_params(operation: str, name: str) -> dict[str, Any]:
    known = {"name": name, "disk": 1, "node": name, "source": "n1"}
    code = TABLE[operation].function.__code__
    return {key: known.get(key, "x") for key in code.co_varnames[1 : code.co_argcount]}


@pytest.fixture
def untouched(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """n1, the owner of web1, on which no lock may be taken; web2 is n2's."""
    for name, owner in (("web1", "n1"), ("web2", "n2")):
        cluster.run(owner, create.create, name=name, memory="64MiB", disks=["64MiB"])

    def touched(*_: Any, **__: Any) -> None:
        raise AssertionError("a lock was touched")

    monkeypatch.setattr(Locks, "hold", touched)
    return cluster


@pytest.mark.parametrize("operation", STEPS)
def test_a_step_is_served_to_the_claims_node_alone_before_a_lock_is_touched(
    untouched: FakeCluster, operation: str
) -> None:
    subject = "node:n1" if TABLE[operation].subject is NODE else "vm:web1"
    params = step_params(operation, subject.partition(":")[2])
    escort = claimed(untouched, subject, on="n1")

    with pytest.raises(OutOfStep, match="is not n2's"):
        ask_with(untouched, escort, operation, **params)


@pytest.mark.parametrize("operation", STEPS)
def test_a_step_is_about_what_its_plan_claims(untouched: FakeCluster, operation: str) -> None:
    escort = claimed(untouched, "vm:web2", on="n2")

    with pytest.raises(OutOfStep, match="which its plan does not claim"):
        ask_with(untouched, escort, operation, **step_params(operation, "web1"))


@pytest.mark.parametrize("owner", ["n1", "n2"])
def test_only_the_owner_has_a_replica_outdated(cluster: FakeCluster, owner: str) -> None:
    cluster.run(owner, create.create, name="web1", memory="64MiB", disks=["64MiB"])

    if owner == "n2":
        assert ask(cluster, PEER, "drbd.outdate", resource="mcv-web1-1")["disk"]
        return
    with pytest.raises(NotPermitted, match="n1's to speak for, and not n2's"):
        ask(cluster, PEER, "drbd.outdate", resource="mcv-web1-1")


def test_only_the_member_with_the_claim_makes_a_node_blank(cluster: FakeCluster) -> None:
    with pytest.raises(NotPermitted, match="n2 has no claim on n1"):
        ask(cluster, PEER, "member.blank")
    claimed(cluster, "node:n1", on="n2")

    ask(cluster, PEER, "member.blank")

    assert list(cluster.read("n1").nodes) == ["n1"]


def test_what_the_asked_node_carries_out_itself_no_member_forwards() -> None:
    for operation, row in TABLE.items():
        assert not (row.job and row.to is here and "peer" in row.who), operation


def test_the_senders_name_is_the_wires_word_and_not_its_own(cluster: FakeCluster) -> None:
    from mcv.document.model import encode
    from mcv.errors import LookAgain
    from tests.documents import after

    document = encode(after(cluster.read()))

    with pytest.raises(LookAgain):
        ask(cluster, PEER, "config.accept", document=document, sender="n1")


@pytest.mark.parametrize(
    ("operation", "params", "words"),
    [
        ("vm.migrate", {"name": "web1", "to": "n2"}, "migrate web1 to n2"),
        ("vm.start", {"name": "web1"}, "start web1"),
        ("cluster.add_node", {"node": "n2", "password": "geheim"}, "cluster add node n2"),
        ("permission.add", {"user": "bob"}, "permission add bob"),
        ("node.offline", {"names": ["n2", "n3"]}, "node offline n2 n3"),
        ("repair", {}, "repair"),
    ],
)
def test_a_job_has_a_title_in_words_and_no_secret(
    operation: str, params: dict[str, Any], words: str
) -> None:
    assert dispatch.title(operation, params) == words


EVIL = "bob\x1b[2J\nmallory"
SHOWN = "bob\\x1b[2J\\nmallory"


def test_a_name_that_a_peer_forwards_is_one_line_and_not_endless(cluster: FakeCluster) -> None:
    epoch = cluster.read().epoch
    for who, noted in ((EVIL, SHOWN), ("x" * 9999, "x" * 256)):
        context = {"epoch": [epoch.number, epoch.id], "who": who}
        answer = dispatch.serve(cluster.hosts["n1"], PEER, "vm.delete", {"name": "web9"}, context)
        assert ended(cluster, answer)["who"] == noted


def test_a_job_is_told_of_in_lines(cluster: FakeCluster) -> None:
    job = cluster.hosts["n1"].jobs.begin(f"delete {EVIL}", EVIL)
    job.progress(EVIL, 1, 2, "B", EVIL)

    told = job.plain()

    assert (told["title"], told["who"]) == (f"delete {SHOWN}", SHOWN)
    assert (told["progress"][0]["what"], told["progress"][0]["note"]) == (SHOWN, SHOWN)
    job.end(None, None)


def test_the_document_records_author_and_reason_in_lines(cluster: FakeCluster) -> None:
    cluster.hosts["n1"].consensus.propose(
        "permission.add", {"user": "bob"}, id="job1.c1", who=EVIL, why=EVIL
    )

    assert (cluster.read().change.who, cluster.read().change.why) == (SHOWN, SHOWN)


def test_two_steps_that_forget_the_same_claim_end_in_no_error(cluster: FakeCluster) -> None:
    """Each is served in a thread of its own."""

    class Shared(dict[Any, int]):
        def pop(self, key: Any, *default: Any) -> Any:
            super().pop(key, None)  # the other thread was here first
            return super().pop(key, *default)

    host = cluster.hosts["n1"]
    host.served = Shared({(f"op{number}", ()): 1 for number in range(dispatch.SERVED + 2)})

    dispatch.require_claim(host, Escort(operation="new", serial=1, claims=[]), "n1")

    assert len(host.served) == dispatch.SERVED + 1 and ("op0", ()) not in host.served


def test_a_plan_that_was_shown_is_no_deletion_in_the_list_of_jobs_or_in_the_log(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have been answered with no."""
    cluster.run("n1", create.create, name="web1", memory="64MiB")
    before = cluster.hosts["n1"].jobs.listed()

    with caplog.at_level("INFO"):
        job = ask(cluster, ROOT, "vm.delete", name="web1", dry_run=True)
        shown = ended(cluster, job)

    assert shown["state"] == "done" and cluster.hosts["n1"].jobs.get(job["job"]).result["plan"]
    assert cluster.hosts["n1"].jobs.listed() == before
    told = [record.getMessage() for record in caplog.records if "asked for by" in record.message]
    assert len(told) == 1 and told[0].startswith("plan to delete web1, asked for by root: done")
    assert ended(cluster, ask(cluster, ROOT, "vm.delete", name="web1"))["state"] == "done"
    assert cluster.hosts["n1"].jobs.listed()[-1]["title"] == "delete web1"
