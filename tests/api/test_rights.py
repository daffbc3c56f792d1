"""Rights at every door of the daemon: what is refused, what is shown, what is forwarded."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.api import dispatch
from mcv.api.operation import Operation
from mcv.api.table import TABLE
from mcv.errors import McvError, NotFound, NotPermitted, Refused
from mcv.rpc.auth import Caller
from mcv.rules.rights import Person
from mcv.system import users
from mcv.transaction.job_records import About
from tests.documents import disk, vm
from tests.fakes.cluster import FakeCluster
from tests.rules.test_rights import grants

ROOT = Caller("operator", "root", superuser_shell=True)
ALICE = Caller("operator", "alice", pid=4711, sudo_uid=1000)
PEER = Caller("peer", "n2")
Ask = Callable[..., Any]


@pytest.fixture
def lone(cluster: FakeCluster) -> FakeCluster:
    """n1 and n2 with web1 and db1 on n1, web2 on n2."""
    document = cluster.read()
    for number, (name, owner) in enumerate((("web1", "n1"), ("db1", "n1"), ("web2", "n2"))):
        one = disk(name, minor=100 + number, port=7900 + number)
        document = document.with_vm(vm(name, node=owner, disks=(one,)))
    for agreement in cluster.agreements.values():
        agreement.store.begin(document)
    return cluster


def give(cluster: FakeCluster, *lines: str) -> None:
    for agreement in cluster.agreements.values():
        document = agreement.store.read()
        agreement.store.begin(replace(document, permissions=grants(*lines)))


def ask(cluster: FakeCluster, operation: str, caller: Caller = ALICE, /, **params: Any) -> Any:
    epoch = cluster.read().epoch
    context = {"epoch": [epoch.number, epoch.id]}
    return dispatch.serve(cluster.hosts["n1"], caller, operation, params, context)


def forwarded(cluster: FakeCluster, person: Any, operation: str, /, **params: Any) -> Any:
    """A call that the member n2 forwards to n1."""
    epoch = cluster.read().epoch
    context = {"epoch": [epoch.number, epoch.id], "who": "alice", "person": person}
    return dispatch.serve(cluster.hosts["n1"], PEER, operation, params, context)


OPERATORS: list[tuple[str, Operation]] = [
    (name, row) for name, row in TABLE.items() if "operator" in row.who
]


def test_whoever_has_no_right_is_let_in_nowhere(cluster: FakeCluster) -> None:
    give(cluster, "bob admin")
    job = cluster.hosts["n1"].jobs.begin("start web1", "bob", about=About("power", ("web1",)))
    known = {"name": "web1", "job": job.id, "node": "n1", "who": "bob"}

    for operation, row in OPERATORS:
        code = row.function.__code__
        params = {key: known.get(key, "x") for key in code.co_varnames[1 : code.co_argcount]}
        with pytest.raises((NotPermitted, NotFound)) as refused:
            ask(cluster, operation, **params)
        assert isinstance(refused.value, NotPermitted) or operation.startswith("job.")

    assert len(cluster.hosts["n1"].jobs.listed()) == 1


@pytest.mark.parametrize(
    ("line", "operation", "vm", "may"),
    [
        ("alice power web*", "vm.start", "web1", True),
        ("alice power web*", "vm.start", "db1", False),
        ("alice power web*", "vm.start", "web9", True),
        ("alice view web*", "vm.start", "web1", False),
        ("alice change web*", "vm.create", "web9", True),
        ("alice change web*", "vm.create", "db9", False),
        ("alice change", "vm.create", "db9", True),
        ("%ops power", "vm.stop", "db1", True),
        ("%staff power", "vm.stop", "db1", False),
    ],
)
def test_a_right_over_a_pattern(
    lone: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    operation: str,
    vm: str,
    may: bool,
) -> None:
    monkeypatch.setattr(users, "groups_of", lambda user, among: ("ops",) if "ops" in among else ())
    give(lone, "bob admin", line)
    more = {"memory": "64MiB"} if operation == "vm.create" else {}

    if may:
        assert ask(lone, operation, name=vm, **more)["job"]
        return
    with pytest.raises(NotPermitted, match=rf"alice lacks the right \w+ over {vm}\.") as refused:
        ask(lone, operation, name=vm, **more)
    assert f"--vm {vm}" in refused.value.hint


@pytest.mark.parametrize("storage", ["file", "drbd"])
def test_whoever_may_change_a_vm_needs_no_more_for_any_step_of_it(
    cluster: FakeCluster, storage: str
) -> None:
    give(cluster, "bob admin", "alice change web*")

    for operation, more in (
        ("vm.create", {"memory": "64MiB", "disks": ["8MiB"], "storage": storage}),
        ("vm.update", {"memory": "48MiB"}),
        ("disk.add", {"size": "8MiB"}),
        ("vm.delete", {}),
    ):
        begun = ask(cluster, operation, name="web9", **more)
        job = cluster.hosts["n1"].jobs.get(begun["job"])
        while (told := job.follow(0, 20))["state"] == "running":
            pass
        assert told["error"] is None, (operation, told["error"])

    assert "web9" not in cluster.read().vms


def test_groups_are_asked_for_at_each_call(
    lone: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = ["ops"]
    monkeypatch.setattr(users, "groups_of", lambda user, among: tuple(set(member) & set(among)))
    give(lone, "bob admin", "%ops view")
    assert ask(lone, "vm.info", name="web1")["name"] == "web1"
    member.clear()

    with pytest.raises(NotPermitted):
        ask(lone, "vm.info", name="web1")


def test_a_vm_that_is_not_there_and_one_that_is_hidden_read_the_same(lone: FakeCluster) -> None:
    give(lone, "bob admin", "alice view web*")

    for name in ("db1", "db9"):
        with pytest.raises(NotPermitted, match=f"lacks the right view over {name}"):
            ask(lone, "vm.info", name=name)
    with pytest.raises(NotFound, match="no VM web9"):
        ask(lone, "vm.info", name="web9")


def test_a_call_without_a_readable_vm_is_judged_as_one_about_the_cluster(lone: FakeCluster) -> None:
    give(lone, "bob admin", "alice admin web*")

    strange: list[Any] = [None, {"web1": 1}, 7, []]
    for name in strange:
        with pytest.raises(NotPermitted, match="over the cluster"):
            ask(lone, "vm.start", name=name)


def test_all_vms_of_a_call_are_judged_at_once(lone: FakeCluster) -> None:
    give(lone, "bob admin", "alice power web*")

    with pytest.raises(Refused) as refused:
        ask(lone, "vm.start", name=["db1", "web1", "db2"])

    assert [problem for problem, _ in refused.value.problems] == [
        "alice lacks the right power over db1.",
        "alice lacks the right power over db2.",
    ]


# What is shown


def test_lists_show_what_one_may_see(lone: FakeCluster) -> None:
    everything = {
        operation: ask(lone, operation, ROOT)
        for operation in ("vm.list", "drbd.list", "job.list", "cluster.info")
    }
    give(lone, "bob admin", "alice view web*")

    assert [row["name"] for row in everything["vm.list"]] == ["db1", "web1", "web2"]
    assert [row["name"] for row in ask(lone, "vm.list")] == ["web1", "web2"]
    assert {row["vm"] for row in ask(lone, "drbd.list")} == {"web1", "web2"}
    info = ask(lone, "cluster.info")
    assert set(info["verify"]["others"]) == {"web1", "web2"} and info["vms"] == 2
    for operation in everything:
        assert "db1" in str(everything[operation]) or operation == "job.list"
        assert "db1" not in str(ask(lone, operation)), operation


def test_whoever_may_see_all_is_shown_all(lone: FakeCluster) -> None:
    whole = {operation: ask(lone, operation, ROOT) for operation in ("vm.list", "drbd.list")}
    give(lone, "alice view")

    for operation, answer in whole.items():
        assert ask(lone, operation) == answer


def test_networks_pools_and_images_are_seen_by_whoever_sees_any_vm(lone: FakeCluster) -> None:
    give(lone, "bob admin", "alice view web1")

    for operation in ("network.list", "pool.list", "image.list"):
        assert ask(lone, operation) == ask(lone, operation, ROOT)


def test_claims_and_locks_of_vms_that_are_not_seen_are_not_listed(lone: FakeCluster) -> None:
    host = lone.hosts["n1"]
    for name in ("web1", "db1"):
        host.consensus.propose(
            "vm.claim", {"name": name, "why": f"delete {name}"}, id=f"{name}.1", who="bob", why="x"
        )
    give(lone, "bob admin", "alice view web*")

    assert [row["subject"] for row in ask(lone, "locks.list")["claims"]] == ["web1"]


# Jobs


@pytest.fixture
def jobs(lone: FakeCluster) -> dict[str, str]:
    """Jobs of bob on web1, db1 and the cluster; of alice on db1."""
    begin = lone.hosts["n1"].jobs.begin
    return {
        "web1": begin("start web1", "bob", about=About("power", ("web1",))).id,
        "db1": begin("start db1", "bob", about=About("power", ("db1",))).id,
        "cluster": begin("network create lan", "bob", about=About("admin")).id,
        "mine": begin("start db1", "alice", about=About("power", ("db1",))).id,
    }


def test_jobs_are_seen_by_their_author_and_by_whoever_sees_their_vms(
    lone: FakeCluster, jobs: dict[str, str]
) -> None:
    give(lone, "bob admin", "alice power web*")

    listed = {row["id"] for row in ask(lone, "job.list")}
    assert listed & set(jobs.values()) == {jobs["web1"], jobs["mine"]}
    for name, job in jobs.items():
        for operation in ("job.show", "job.follow", "job.cancel"):
            params = {"node": "n1"} if operation == "job.follow" else {}
            if name in ("web1", "mine"):
                try:
                    ask(lone, operation, job=job, **params)
                except Refused as refused:
                    assert "cannot be cancelled safely" in refused.message
                continue
            with pytest.raises(NotFound, match=f"no job {job}"):
                ask(lone, operation, job=job, **params)


def test_a_job_is_cancelled_with_the_right_to_begin_it(
    lone: FakeCluster, jobs: dict[str, str]
) -> None:
    give(lone, "bob admin", "alice view", "alice power db*")

    with pytest.raises(NotPermitted, match="lacks the right power over web1"):
        ask(lone, "job.cancel", job=jobs["web1"])
    with pytest.raises(NotPermitted, match="lacks the right admin over the cluster"):
        ask(lone, "job.cancel", job=jobs["cluster"])
    with pytest.raises(Refused, match="cannot be cancelled safely"):
        ask(lone, "job.cancel", job=jobs["db1"])


def test_a_job_tells_what_it_is_about(lone: FakeCluster) -> None:
    job = ask(lone, "vm.lock", ROOT, name="web1")["job"]

    shown = ask(lone, "job.show", ROOT, job=job)

    assert (shown["right"], shown["vms"]) == ("change", ["web1"])


def test_a_right_that_is_taken_away_ends_the_following_of_a_job(
    lone: FakeCluster, jobs: dict[str, str]
) -> None:
    give(lone, "bob admin", "alice view web*")
    assert ask(lone, "job.follow", job=jobs["web1"], node="n1")["state"] == "running"
    give(lone, "bob admin")

    with pytest.raises(NotFound):
        ask(lone, "job.follow", job=jobs["web1"], node="n1")


# What is forwarded


def test_a_member_is_believed_about_the_person_and_its_groups(lone: FakeCluster) -> None:
    give(lone, "bob admin", "%ops power")
    alice = {"name": "alice", "groups": ["ops"], "root_shell": False}

    assert forwarded(lone, alice, "vm.start", name="web1")["job"]
    for person in ({**alice, "groups": []}, {**alice, "groups": ["staff"]}):
        with pytest.raises(NotPermitted, match="alice lacks the right power"):
            forwarded(lone, person, "vm.start", name="web1")
    nonsenses: list[Any] = ["alice", {"name": 7}, {}, []]
    for nonsense in nonsenses:
        with pytest.raises(NotPermitted, match="does not say who asks"):
            forwarded(lone, nonsense, "vm.start", name="web1")


def test_a_member_of_an_earlier_version_has_judged_by_itself(lone: FakeCluster) -> None:
    give(lone, "bob admin")
    epoch = lone.read().epoch
    context = {"epoch": [epoch.number, epoch.id], "who": "alice"}

    answer = dispatch.serve(lone.hosts["n1"], PEER, "vm.start", {"name": "web1"}, context)

    assert lone.hosts["n1"].jobs.get(answer["job"]).who == "alice"


def test_a_call_goes_on_with_the_person_who_typed_it(
    lone: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "groups_of", lambda user, among: ("ops",))
    give(lone, "bob admin", "%ops power", "%staff view")
    gone: list[Person] = []
    lone.hosts["n1"].forward = lambda node, operation, params, person: gone.append(person)

    ask(lone, "vm.start", name="web2")

    assert gone == [Person(name="alice", groups=("ops",))]


# What other VMs' names could leak through


def test_an_error_names_no_vm_that_one_may_not_see(
    lone: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(lone, "bob admin", "alice change web*")

    def refuse(*_: Any, **__: Any) -> None:
        problems = [("The MAC is db1's.", "mcv info db1"), ("web2 is on n2.", "")]
        raise Refused("db1 and web1 have mcv-db1-1, not web12-db1x.", "See: mcv info db1", problems)

    monkeypatch.setattr(dispatch, "run", refuse)
    with pytest.raises(Refused) as refused:
        ask(lone, "vm.update", name="web1")

    error: McvError = refused.value
    assert error.message == "another VM and web1 have mcv-another VM-1, not web12-db1x."
    assert error.hint == "See: mcv info another VM"
    assert error.problems == [
        ("The MAC is another VM's.", "mcv info another VM"),
        ("web2 is on n2.", ""),
    ]


def test_the_end_of_a_job_names_no_vm_that_one_may_not_see(lone: FakeCluster) -> None:
    give(lone, "bob admin", "alice change web*")
    job = lone.hosts["n1"].jobs.begin("update web1", "alice", about=About("change", ("web1",)))
    job.progress("waits for db1 to end")
    job.end(None, Refused("db1 has that address."))

    told = ask(lone, "job.follow", job=job.id, node="n1")

    assert told["error"]["message"] == "another VM has that address."
    assert told["progress"][0]["what"] == "waits for another VM to end"
    assert "db1" not in str(ask(lone, "job.show", job=job.id))


@pytest.mark.parametrize(
    ("volume", "may"),
    [("mcv-web1-2", True), ("mcv-db1-1", False), ("mcv-web1-2-1", False), ("swap", False)],
)
def test_a_volume_of_another_vm_is_taken_back_by_an_admin_alone(
    lone: FakeCluster, volume: str, may: bool
) -> None:
    give(lone, "bob admin", "alice change")
    words = {"name": "web1", "storage": "lvm", "volume": volume}

    if may:
        assert ask(lone, "disk.add", **words)["job"]
    else:
        with pytest.raises(NotPermitted, match="may take back volumes of web1 alone"):
            ask(lone, "disk.add", **words)
    assert ask(lone, "disk.add", Caller("operator", "bob"), **words)["job"]


def test_a_vm_is_renamed_within_what_one_may_change(lone: FakeCluster) -> None:
    give(lone, "bob admin", "alice change web*")

    with pytest.raises(NotPermitted, match="lacks the right change over db9"):
        ask(lone, "vm.rename", name="web1", new="db9")
    assert ask(lone, "vm.rename", name="web1", new="web9")["job"]
