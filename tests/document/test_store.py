"""The document on disk: old or new, never a part, whatever instant the power fails at."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document import changes
from mcv.document.model import Cluster, digest
from mcv.document.store import Store
from mcv.errors import Refused
from tests.documents import after, chain, document, in_epoch, made, vm

CALLS = ("open", "fsync", "rename", "link", "unlink")


class PowerCut(Exception):
    """The machine is gone; what was done stays done, nothing more follows."""


@contextmanager
def cut_at(instant: int) -> Iterator[list[str]]:
    """Let the power fail at the n-th thing that is asked of the file system."""
    passed: list[str] = []

    def watched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **params: Any) -> Any:
            if len(passed) == instant:
                raise PowerCut(name)
            passed.append(name)
            return None if name == "fsync" else original(*args, **params)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, watched(name, getattr(os, name)))
        yield passed


def store(directory: Path, history: int = 1000) -> Store:
    return Store(directory, history)


FIRST = document()
SECOND = after(FIRST)
THIRD = after(SECOND)


def begin(directory: Path) -> Store:
    one = store(directory)
    one.begin(FIRST)
    return one


def test_what_a_killed_daemon_renamed_lasts_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path)
    synced: set[Path] = set()
    monkeypatch.setattr(os, "fsync", lambda fd: synced.add(Path(f"/proc/self/fd/{fd}").resolve()))

    store(tmp_path)

    assert synced == {tmp_path, tmp_path / "history"}


def proposed(directory: Path) -> Store:
    one = begin(directory)
    one.propose(SECOND)
    return one


WRITES: dict[str, tuple[Callable[[Path], Store], Callable[[Store], Any], list[Cluster]]] = {
    "propose": (begin, lambda one: one.propose(SECOND), [FIRST]),
    "settle": (proposed, lambda one: one.commit(), [FIRST, SECOND]),
    "adopt": (begin, lambda one: one.adopt(THIRD, [SECOND]), [FIRST, THIRD]),
    "adopt over a proposal": (
        proposed,
        lambda one: one.adopt(THIRD, [SECOND]),
        [FIRST, THIRD],
    ),
    "drop": (proposed, lambda one: one.drop_proposal(), [FIRST]),
    "begin anew": (proposed, lambda one: one.begin(document("n1")), [FIRST, document("n1")]),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_power_cut_leaves_the_old_document_or_the_new_one(tmp_path: Path, name: str) -> None:
    prepare, write, allowed = WRITES[name]
    instant = 0
    while True:
        directory = tmp_path / str(instant)
        one = prepare(directory)
        with cut_at(instant) as passed:
            try:
                write(one)
                done = True
            except PowerCut:
                done = False

        again = store(directory)
        assert again.read() in allowed
        open_ = again.proposal()
        assert open_ is None or open_[0] in (SECOND,)
        if done:
            break
        write_again = again.read()
        again.begin(after(write_again))
        assert store(directory).read().parent == digest(write_again)
        instant = len(passed) + 1

    assert instant > 3 and again.read() == allowed[-1]


def test_a_write_is_durable_before_it_returns(tmp_path: Path) -> None:
    one = begin(tmp_path)

    with cut_at(-1) as passed:
        one.propose(SECOND)
    assert passed == ["open", "fsync", "rename", "open", "fsync"]
    with cut_at(-1) as passed:
        one.commit()

    assert passed[:5] == ["open", "fsync", "rename", "open", "fsync"]
    assert passed[5:] == ["rename", "open", "fsync"]


def test_a_node_acts_on_both_documents_until_one_is_settled(tmp_path: Path) -> None:
    one = proposed(tmp_path)
    assert one.both() == [FIRST, SECOND]
    assert store(tmp_path).both() == [FIRST, SECOND]

    one.commit()

    assert one.both() == [SECOND] == store(tmp_path).both()


def test_a_document_that_is_adopted_ends_the_proposal_and_both_stay_in_history(
    tmp_path: Path,
) -> None:
    one = proposed(tmp_path)
    newer = in_epoch(FIRST, "e2")

    one.adopt(newer, [])

    assert one.both() == [newer]
    names = {path.name[9:25] for path in (tmp_path / "history").iterdir()}
    assert names == {digest(each)[:16] for each in (FIRST, SECOND, newer)}


def test_history_is_followed_by_hashes_and_since_tells_what_lies_between(tmp_path: Path) -> None:
    documents = chain(FIRST, 5)
    one = store(tmp_path)
    one.begin(FIRST)
    for each in documents[1:]:
        one.propose(each)
        one.commit()
    one.remember(after(documents[2]))

    assert one.generations() == documents[::-1]
    assert one.since(digest(documents[2])) == documents[3:5]
    assert one.since(digest(documents[4])) == []
    assert one.since("unknown", limit=2) == documents[3:5]


def test_the_oldest_generations_go_when_there_are_too_many(tmp_path: Path) -> None:
    one = store(tmp_path, history=3)
    one.begin(FIRST)
    for each in (documents := chain(FIRST, 6))[1:]:
        one.propose(each)
        one.commit()

    assert one.generations() == documents[:-4:-1]
    assert len(list((tmp_path / "history").iterdir())) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"schema": 1}', "cannot be read: Object missing required field `name`"),
        ('{"schema": 1,\n  "name": "n1",\n  "epo', "line 3: it is no JSON"),
        ('{"schema": 99}', "written by a newer mcv: schema 99"),
        ("", "line 1: it is no JSON"),
        ("[]", "it names no schema"),
    ],
)
def test_a_document_that_cannot_be_read_says_where_and_what_is_kept(
    tmp_path: Path, text: str, said: str
) -> None:
    begin(tmp_path)
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(Refused, match=r"config.json: ") as refused:
        store(tmp_path).read()

    assert said in refused.value.message
    fault = store(tmp_path).fault()
    assert fault is not None and said in fault.message
    good = store(tmp_path).newest_good()
    assert good is not None and good[0] == FIRST
    with pytest.raises(Refused, match="There is no"):
        store(tmp_path / "elsewhere").read()


def test_a_document_that_was_edited_by_hand_is_found_out_with_its_line(tmp_path: Path) -> None:
    begin(tmp_path)
    path = tmp_path / "config.json"
    lines = path.read_text().splitlines()
    number = next(i for i, line in enumerate(lines, 1) if "on_peer_loss" in line)
    path.write_text(path.read_text().replace('"continue"', '"wait"'))

    fault = store(tmp_path).fault()

    assert fault is not None and f"edited by hand, first in line {number}" in fault.message
    one = store(tmp_path)
    one.fall_back(FIRST)
    assert one.fault() is None and one.read() == FIRST
    assert len(list(tmp_path.glob("config.json.faulty-*"))) == 1


def test_a_document_keeps_its_schema_and_hash_until_a_change_raises_it(tmp_path: Path) -> None:
    first = replace(FIRST, schema=1)
    store(tmp_path).begin(first)
    written = (tmp_path / "config.json").read_text()
    here = store(tmp_path)
    found, hash_ = here.committed()
    raised = changes.apply(found, "document.schema", {"schema": 2}, made())
    here.propose(raised)
    here.commit()

    assert found == first and '"schema": 1' in written
    assert (raised.schema, raised.parent) == (2, hash_)
    assert (tmp_path / "config.json.schema-1").read_text() == written
    again = store(tmp_path)
    assert again.fault() is None and again.read() == raised
    assert [each.schema for each in again.generations()] == [2, 1]


def test_what_an_older_schema_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def autostart(base: Cluster, _: object, /) -> Cluster:
        return base.with_vm(vm("web1", autostart="yes"))

    monkeypatch.setitem(changes.CHANGES, "vm.test", autostart)

    with pytest.raises(Refused, match="older mcv"):
        changes.apply(replace(FIRST, schema=1), "vm.test", {}, made())
    assert changes.apply(FIRST, "vm.test", {}, made()).vms["web1"].autostart == "yes"


def test_nobody_else_can_read_the_document(tmp_path: Path) -> None:
    one = proposed(tmp_path / "state")
    one.commit()

    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "state").rglob("*")}

    assert modes == {0}


# A clock that is set back, and clusters that this node was a part of before


def set_clock_back(directory: Path) -> None:
    """Give each file of the history an older time than the one written before it."""
    paths = sorted((directory / "history").iterdir())
    for hours, path in enumerate(paths):
        os.utime(path, (1e9 - 3600 * hours,) * 2)


def test_a_clock_set_back_costs_the_committed_generation_nothing(tmp_path: Path) -> None:
    one = store(tmp_path, history=4)
    one.begin(FIRST)
    for each in (documents := chain(FIRST, 6))[1:4]:
        one.propose(each)
        one.commit()
    set_clock_back(tmp_path)

    restarted = store(tmp_path, history=4)
    for each in documents[4:]:
        restarted.propose(each)
        restarted.commit()

    assert store(tmp_path).fault() is None
    assert restarted.generations() == documents[:-5:-1]


def test_the_newest_good_generation_is_told_by_lineage(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.begin(FIRST)
    for each in (documents := chain(FIRST, 5))[1:]:
        one.propose(each)
        one.commit()
    set_clock_back(tmp_path)
    (tmp_path / "config.json").write_text("torn")

    good = store(tmp_path).newest_good()

    assert good is not None and good[0] == documents[-1]


def test_generations_of_a_cluster_before_are_set_apart_and_forgotten_first(tmp_path: Path) -> None:
    one = store(tmp_path, history=4)
    one.begin(FIRST)
    for each in chain(FIRST, 4)[1:]:
        one.propose(each)
        one.commit()
    joined = in_epoch(FIRST, "another")

    one.begin(joined)

    good = store(tmp_path).newest_good()
    assert good is not None and good[0] == joined
    restarted = store(tmp_path, history=4)
    for each in (documents := chain(joined, 3))[1:]:
        restarted.propose(each)
        restarted.commit()
    assert restarted.generations() == documents[::-1]
    assert len(list((tmp_path / "history").glob("*-former.json"))) == 0
