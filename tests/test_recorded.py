"""What earlier programs wrote is read, checked and carried on: everything in tests/recorded.

tests/recorded/README.md says what lies there, and how a later schema adds its own.
"""

import contextlib
import inspect
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mcv import settings
from mcv.api.dispatch import row
from mcv.check.resource_files import is_mcvs
from mcv.cluster import joining, upgrade
from mcv.document import changes
from mcv.document.generation import ChangeMade
from mcv.document.history import on_disk
from mcv.document.lineage import descends
from mcv.document.model import Cluster, Vm, digest
from mcv.document.model import decode as decode_document
from mcv.document.schema import SCHEMA
from mcv.document.store import Store
from mcv.drbd import enable, roles, verification_results
from mcv.drbd import notes as notes_
from mcv.drivers.domain_reading import MIB, is_ours, substance
from mcv.errors import McvError, Refused
from mcv.recovery.jobs import as_known_now
from mcv.storage import copy_notes, paths
from mcv.system.observations import Observations
from mcv.transaction.jobs import Jobs
from mcv.transaction.journal import Entry, decode, encode
from mcv.transaction.plan import Call, Change, steps_of
from tests.drivers.test_drbd_resource_file import drbdadm
from tests.fakes.cluster import FakeCluster
from tests.recorded import death, doors, make, tour

RECORDED = Path(__file__).parent / "recorded"

DEATHS = sorted(RECORDED.glob("*/deaths/*.json"))
TREES = sorted(path for path in RECORDED.glob("*/trees/*") if path.is_dir())
ENTRIES = sorted(RECORDED.glob("*/entries/*.json"))


def short(path: Path) -> str:
    return str(path.relative_to(RECORDED))


def recorded_entries() -> Iterator[tuple[str, str]]:
    """Every journal entry, as the text of its file."""
    for path in ENTRIES:
        yield short(path), path.read_text(encoding="utf-8")
    for path in DEATHS:
        for name, text in death.read(path).files.items():
            if Path(name).parent.name == "journal":
                yield f"{short(path)} {name}", text
    for path in RECORDED.glob("*/trees/*/var/*/journal/*.json"):
        yield short(path), path.read_text(encoding="utf-8")


def recorded_documents() -> Iterator[tuple[str, str]]:
    """Every document, as the text of its file: committed, proposed, in a history, put aside."""
    names = ("config.json", "proposal.json", "config.json.faulty-*", "history/*.json")
    for name in names:
        for path in RECORDED.glob(f"*/trees/*/var/*/{name}"):
            yield short(path), path.read_text(encoding="utf-8")
    for path in RECORDED.glob("*/documents/*.json"):
        yield short(path), path.read_text(encoding="utf-8")
    for path in DEATHS:
        for name, text in death.read(path).files.items():
            if any(Path(name).match(f"var/*/{one}") for one in names):
                yield f"{short(path)} {name}", text


def actions(entry: Entry) -> Iterator[Call | Change]:
    """All that an entry may have carried out."""
    for item in entry.plan:
        for step in steps_of(item):
            yield from (one for one in (step.do, step.undo, step.seen) if one is not None)
    yield from entry.releases


def problem_with(action: Call | Change) -> str:
    """Why the program of today could not carry an action out; "" where it could."""
    made = ChangeMade(id="a.1", who="alice", when="", why="", node="n1")
    try:
        if isinstance(action, Call):
            inspect.signature(row(action.operation).function).bind(None, **action.params)
        else:
            inspect.signature(changes.CHANGES[action.name]).bind(None, made, **action.params)
    except (Refused, KeyError, TypeError) as error:
        return f"{action}: {error!r}"
    return ""


# Documents


def test_every_document_is_read_and_written_again_as_it_was() -> None:
    wrong, seen = [], 0
    for name, text in recorded_documents():
        seen += 1
        cluster = decode_document(text)
        if decode_document(on_disk(cluster)) != cluster:
            wrong.append(f"{name} changes as it is written")
        if on_disk(cluster) != text:
            wrong.append(f"{name} would be written otherwise")

    assert wrong == [] and seen > 1000


def test_every_document_of_a_history_has_the_hash_that_it_is_filed_under() -> None:
    wrong, seen = [], 0
    for name, text in recorded_documents():
        filed = re.search(r"history/(\d{8})-([0-9a-f]{16})(-dropped)?\.json$", name)
        if filed is None:
            continue
        seen += 1
        cluster = decode_document(text)
        if (cluster.generation, digest(cluster)[:16]) != (int(filed[1]), filed[2]):
            wrong.append(name)

    assert wrong == [] and seen > 500


STATES = [path for tree in TREES for path in sorted((tree / "var").iterdir())]


@pytest.mark.parametrize("state", STATES, ids=short)
def test_a_state_directory_is_whole_and_its_lineage_unbroken(tmp_path: Path, state: Path) -> None:
    here = tmp_path / state.name
    shutil.copytree(state, here)
    store = Store(here, 1000)

    assert store.fault() is None
    lineage, now = store.generations(), store.read()
    assert all(descends(now, one, digest(one)) for one in lineage)
    assert {digest(one) for one in lineage} == set(filed(here / "history", now))
    if (proposal := store.proposal()) is not None:
        assert proposal[0].parent in {store.hash(), now.parent}


def filed(history: Path, now: Cluster) -> Iterator[str]:
    """The hashes of the documents in a history that are of the lineage of the present one."""
    epochs = {epoch.id for epoch in now.epochs}
    for path in history.glob("*[0-9a-f].json"):
        cluster = decode_document(path.read_text(encoding="utf-8"))
        if cluster.epoch.id in epochs and not path.name.endswith("-dropped.json"):
            yield digest(cluster)


def test_the_documents_are_of_varied_content() -> None:
    found = [decode_document(text) for _, text in recorded_documents()]
    vms = [vm for cluster in found for vm in cluster.vms.values()]
    marks = [disk.verification for vm in vms for disk in vm.replicated]
    members = [member for cluster in found for member in cluster.nodes.values()]

    assert {len(cluster.nodes) for cluster in found} >= {1, 2, 3}
    assert {mark.result for mark in marks} == {
        "clean",
        "out-of-sync",
        "interrupted",
        "never",
        "running",
    }
    assert {mark.blocked for mark in marks} == {vm.locked for vm in vms} == {True, False}
    assert {len(vm.disks) for vm in vms} >= {0, 1, 2} and any(vm.nics for vm in vms)
    assert any(vm.claim for vm in vms) and any(member.claim for member in members)
    assert any(vm.override for vm in vms)
    assert {member.status for member in members} == {"online", "offline"}
    assert any(member.maintenance for member in members)
    assert any(len(cluster.epochs) > 2 for cluster in found)
    assert any(epoch.also for cluster in found for epoch in cluster.epochs)
    assert any(cluster.permissions.superusers for cluster in found)
    assert {cluster.drbd.on_peer_loss for cluster in found} == {"continue", "wait"}


def test_every_document_of_then_rises_to_the_schema_of_today() -> None:
    made = ChangeMade(id="a.1", who="mcvd", when="", why="", node="n1")
    wrong, groups = [], 0
    for name, text in recorded_documents():
        then = decode_document(text)
        if then.schema == SCHEMA:
            continue  # has pools and homes, and tests/document has what becomes of them
        now = changes.apply(then, "document.schema", {"schema": SCHEMA}, made)
        if now.schema != SCHEMA or decode_document(on_disk(now)) != now:
            wrong.append(f"{name} does not rise")
        if any(vm.home != vm.node for vm in now.vms.values()):
            wrong.append(f"{name} has a VM without a home")
        if then.schema >= 3:
            continue
        for before, after in zip(then.replicated(), now.replicated(), strict=True):
            groups += 1
            pool = now.pools[after[1].pool]
            is_there = pool.nodes.items() >= after[1].places.items() and pool.type == "lvm"
            if replace(after[1], pool="") != before[1] or not is_there:
                wrong.append(f"{name}: {after[1].volume} in {after[1].pool}")

    assert wrong == [] and groups > 500


# The journal


def test_every_entry_is_read_and_written_again_as_it_was() -> None:
    wrong = []
    for name, text in recorded_entries():
        entry = decode(text)
        if decode(encode(entry)) != entry or not (entry.plan and entry.title and entry.subjects):
            wrong.append(name)

    assert wrong == []


def test_all_that_a_plan_was_made_of_can_be_carried_out_today() -> None:
    found = {
        problem
        for _, text in recorded_entries()
        for action in actions(decode(text))
        if (problem := problem_with(action))
    }

    assert found == set()


def test_every_kind_of_step_was_recorded_in_both_directions() -> None:
    texts = [text for _, text in recorded_entries()]
    entries = [decode(text) for text in texts]
    written = set(re.findall(r'"(?:operation|name)": *"(\w+\.\w+)"', "".join(texts)))
    names = [json.loads(path.read_text("utf-8")) for path in RECORDED.glob("*/names.json")]

    assert names and written >= {name for one in names for key in one for name in one[key]}
    assert {entry.direction for entry in entries} == {"forward", "back"}
    # At each step of a plan, and before the first and after the last.
    places = {entry.position for entry in entries if entry.title == "migrate web1 to n2, live"}
    assert places >= set(range(-1, 9))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("path", DEATHS, ids=short)
def test_what_was_cut_off_then_is_carried_on_today(tmp_path: Path, path: Path) -> None:
    recorded = death.read(path)

    end, wrong = make.resumed(recorded, tmp_path)

    assert (end, wrong) == (recorded.end, "")


def upgrade_schema(cluster: FakeCluster) -> None:
    """The coordinator of a cluster that was upgraded hears the others, and raises the schema."""
    for name in sorted(set(cluster.hosts) - cluster.down):
        with contextlib.suppress(McvError):
            cluster.look(name)
            upgrade.raise_schema(cluster.hosts[name])


OF_DISKS = [path for path in DEATHS if path.name.startswith(("create", "delete", "migrate"))]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("path", OF_DISKS, ids=short)
def test_what_was_cut_off_then_is_carried_on_in_a_document_of_today(
    tmp_path: Path, path: Path
) -> None:
    recorded, woken = death.read(path), []

    def first(cluster: FakeCluster) -> None:
        upgrade_schema(cluster)
        woken.append(cluster)

    end, wrong = make.resumed(recorded, tmp_path, first)

    assert (end, wrong) == (recorded.end, "")
    cluster = woken[0].read()
    assert all(disk.pool for _, disk in cluster.disks()) or cluster.schema < SCHEMA


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_death_of_today_s_program_is_recorded_and_read_again(tmp_path: Path) -> None:
    recorded = next(make.deaths("update", "n1"))

    death.write(recorded, tmp_path / "death.json")

    assert death.read(tmp_path / "death.json") == recorded
    assert make.resumed(recorded, tmp_path / "woken") == ("whole", "")


def test_a_tour_of_today_s_program_is_kept(tmp_path: Path) -> None:
    tour.alone(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {"alone", "alone-with-a-vm"}


# Jobs, notes and what a node has seen

JOBS = [state / "jobs" for state in STATES if (state / "jobs").is_dir()]


@pytest.mark.parametrize("directory", JOBS, ids=short)
def test_jobs_are_read_and_those_that_were_cut_off_are_closed(
    tmp_path: Path, directory: Path
) -> None:
    here = tmp_path / "jobs"
    shutil.copytree(directory, here)
    written = {one["id"]: one for one in map(json.loads, map(Path.read_text, here.iterdir()))}
    for record in written.values():
        record.pop("schema", None)
    jobs = Jobs(directory.parent.name, here)

    jobs.close_interrupted(set(list(written)[:1]))

    listed = {one["id"]: one for one in jobs.listed()}
    assert set(listed) == set(written)
    for id, before in written.items():
        after = jobs.remembered(id)
        assert after is not None and after["title"] == before["title"] == listed[id]["title"]
        if before["state"] == "running":
            assert after["state"] == "interrupted" and "mcvd" in after["error"]["message"]
        else:
            assert after == before


def tree(name: str) -> list[Any]:
    """The trees of this name, one for each schema that has it."""
    return [pytest.param(path, id=short(path)) for path in TREES if path.name == name]


def wake(path: Path, directory: Path) -> FakeCluster:
    """The cluster that a tree was kept from, its daemons started anew."""
    for top in ("var", "drbd.d"):
        if (path / top).exists():
            shutil.copytree(path / top, directory / top)
    names = tuple(sorted(one.name for one in (path / "var").iterdir()))
    for name in names:
        secret = directory / "var" / name / "pki/drbd-secret"
        secret.parent.mkdir()
        secret.write_text("word\n")
    cluster = FakeCluster(directory, names, begins=False)
    doors.restore(cluster, doors.read(path / "doors.json"))
    for name in names:
        cluster.look(name)
        roles.bring_up(cluster.hosts[name])
    return cluster


def mark(cluster: FakeCluster, name: str) -> tuple[str, int, str, bool]:
    found = cluster.read().vm(name).replica(1).verification
    return found.result, found.out_of_sync, found.who, found.blocked


@pytest.mark.parametrize("path", tree("noted"))
def test_notes_of_every_kind_are_read_and_written_down(tmp_path: Path, path: Path) -> None:
    cluster = wake(path, tmp_path)
    host = cluster.hosts["n1"]
    notes = host.settings.notes
    assert mark(cluster, "never") == ("never", 0, "", False)
    alone = notes_.read(notes, "mcv-found-1", "alone")
    assert alone is not None and alone["since"] and "n2 cannot be reached" in alone["why"]
    assert notes_.noted(notes, "out-of-sync") == ["mcv-clean-1", "mcv-gone-1", "mcv-never-1"]

    verification_results.conclude(host)

    assert mark(cluster, "never") == ("out-of-sync", 8192, "alice", True)
    assert mark(cluster, "found")[0] == "out-of-sync"
    assert notes_.noted(notes, "out-of-sync") == []
    assert notes_.noted(notes, "alone") == ["mcv-found-1"]


ALL_NOTES = [*RECORDED.glob("*/notes/*.json"), *RECORDED.glob("*/trees/*/var/*/notes/*.json")]
COPIES = sorted(path for path in ALL_NOTES if path.name.endswith(".copy.json"))
NOTES = [path for path in ALL_NOTES if path not in COPIES]


@pytest.mark.parametrize("path", sorted(NOTES), ids=short)
def test_a_note_is_found_and_read(path: Path) -> None:
    resource, kind, _ = path.name.split(".")

    note = notes_.read(path.parent, resource, kind)

    assert resource in notes_.noted(path.parent, kind)
    assert note is not None and note["since" if kind == "alone" else "when"].endswith("Z")


@pytest.mark.parametrize("path", COPIES, ids=short)
def test_a_note_of_a_copy_is_read_and_written_again_as_it_was(tmp_path: Path, path: Path) -> None:
    name, disk, _, _ = path.name.split(".")
    host = FakeCluster(tmp_path, ("n1",)).hosts["n1"]
    host.settings.notes.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, host.settings.notes)

    note = copy_notes.read(host, name, int(disk))

    assert note is not None and (note.name, note.target.id) == (name, int(disk))
    copy_notes.write(host, note)
    assert copy_notes.read(host, name, int(disk)) == note


@pytest.mark.parametrize("path", tree("noted"))
def test_an_open_outcome_is_told_by_the_document(tmp_path: Path, path: Path) -> None:
    host = wake(path, tmp_path).hosts["n1"]
    (job,) = [one for one in host.jobs.listed() if one.get("open")]

    assert as_known_now(host, job) == job
    host.update("barrier", "another change")

    assert "another change came first" in as_known_now(host, job)["error"]["message"]


@pytest.mark.parametrize("path", tree("noted"))
def test_what_a_node_has_seen_is_read(path: Path) -> None:
    sight = Observations(path / "var/n1/sight.json", "another boot")

    heard, in_step = sight.last_heard("n2"), sight.last_in_step("mcv-clean-1")
    assert heard and in_step and heard <= in_step
    assert sight.was_away_since("n2")


@pytest.mark.parametrize("path", tree("staged"))
def test_a_join_that_was_begun_is_read(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = wake(path, tmp_path).hosts["n1"]
    death.turn_back(monkeypatch, json.loads((path / "var/n1/staged.json").read_text())["since"])

    stage = joining.staged(host)

    assert stage is not None and stage.operation == "0a1b2c3d"
    assert [member.name for member in stage.members] == ["n9"]


# Resource files, domains, settings

FILES = sorted(RECORDED.glob("*/trees/*/drbd.d/*/*.res"))


@pytest.mark.parametrize("path", FILES, ids=short)
def test_a_resource_file_is_known_as_mcv_s_and_taken_by_drbdadm(tmp_path: Path, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    generation = 9 if "node-id" in text else 8

    assert is_mcvs("web1", text)
    planned = drbdadm(tmp_path, text, generation, "up", "all", node=path.parent.name)
    assert f"new-resource {path.stem}" in planned


@pytest.mark.parametrize(
    "path", [pytest.param(one, id=short(one)) for one in TREES if (one / "doors.json").exists()]
)
def test_resources_of_then_are_brought_up_and_their_files_taken_over(
    tmp_path: Path, path: Path
) -> None:
    cluster = wake(path, tmp_path)
    for name in set(cluster.hosts) - cluster.down:
        host = cluster.hosts[name]
        document = host.read()
        enable.adjust(host)
        for vm, disk in document.replicated():
            if name not in disk.places or vm.claim:
                continue
            status = host.drbd.status(disk.resource)
            assert roles.has_file(host, document, disk)
            assert status is not None and status.disk in ("UpToDate", "Consistent")


DOMAINS = sorted(RECORDED.glob("*/trees/*/domains/*/*.xml"))


@pytest.mark.parametrize("path", DOMAINS, ids=short)
def test_a_domain_says_what_the_document_beside_it_does(path: Path) -> None:
    top, name = path.parents[2], path.name.partition(".")[0]
    text = (top / "var" / path.parent.name / "config.json").read_text(encoding="utf-8")
    cluster = decode_document(text)
    xml = path.read_text(encoding="utf-8")

    assert is_ours(xml)
    assert as_said(cluster, cluster.vm(name), path.parent.name) == as_found(xml)


def as_said(cluster: Cluster, vm: Vm, node: str) -> tuple[Any, ...]:
    of_guest = [disk for disk in vm.disks if disk.role != "efi"]
    disks = tuple((disk.target, paths.path(cluster, disk, node)) for disk in of_guest)
    nics = tuple((nic.mac, nic.bridge_in(cluster.networks[nic.network], node)) for nic in vm.nics)
    return vm.uuid, vm.memory // MIB, vm.cpus, disks, nics


def as_found(xml: str) -> tuple[Any, ...]:
    found = substance(xml)
    return found.uuid, found.memory, found.cpus, found.disks, found.nics


CONFS = sorted(RECORDED.glob("*/settings/*.conf"))


@pytest.mark.parametrize("path", CONFS, ids=short)
def test_settings_are_read(path: Path) -> None:
    found = settings.load(path)

    wanted = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert {key: getattr(found, key) for key in wanted} == wanted
