"""Calls to other nodes: what a lost answer leaves open."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcv.api.calls import Calls
from mcv.api.table import TABLE
from mcv.errors import CallLost, NoAnswer, PeerUnreachable
from mcv.rpc.auth import Caller
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def calls(cluster: FakeCluster, tmp_path: Path) -> Calls:
    """The calls of n1, to peers of which no answer arrives."""

    def lose(node: str, operation: str, *_: Any) -> Any:
        said = f"{node} gave no answer to {operation} (timed out)"
        raise CallLost(f"{said}; whether it was carried out is not known.")

    host = cluster.hosts["n1"]
    made = Calls(host.settings)
    made.host = host
    made.peers = cast(Any, SimpleNamespace(call=lose))
    return made


def test_a_question_that_times_out_has_changed_nothing(calls: Calls) -> None:
    with pytest.raises(NoAnswer, match=r"node\.report \(timed out\); nothing was changed") as said:
        calls.call("n2", "node.report")

    assert said.value.exit_code == 3
    assert "mcv node offline n2 --confirm-dead" in said.value.hint


@pytest.mark.parametrize("operation", ["job.stop", "vm.define", "config.propose", "repair.here"])
def test_what_changes_something_is_open_without_its_answer(calls: Calls, operation: str) -> None:
    with pytest.raises(CallLost):
        calls.call("n2", operation)


def test_a_question_is_no_step_and_no_job() -> None:
    asking = [row for row in TABLE.values() if row.asks]

    assert asking and not any(row.step or row.job for row in asking)


def test_what_a_node_says_of_a_third_keeps_its_own_advice(calls: Calls) -> None:
    def tell(*_: Any) -> Any:
        raise PeerUnreachable("n3 does not answer, so nothing was changed.", "Look at n3.")

    calls.peers = cast(Any, SimpleNamespace(call=tell))

    with pytest.raises(PeerUnreachable, match="n3 does not answer") as said:
        calls.call("n2", "config.propose")

    assert said.value.hint == "Look at n3."


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("10.0.0.9", "10.0.0.9"),
        ("fd00::9", "fd00::9"),
        ("", ""),
        ("127.0.0.1", ""),
        ("0.0.0.0", ""),
        ("a" * 70, ""),
        (7, ""),
        (None, ""),
    ],
)
def test_a_member_that_gives_no_address_stays_where_the_document_has_it(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, given: object, used: str
) -> None:
    """A host name that resolves to no address any more leads nobody to another machine."""
    monkeypatch.setattr("mcv.api.calls.dispatch.serve", lambda *_: None)
    before = calls.find("n2").host

    calls.handle(Caller("peer", "n2"), "config.poll", {}, {"address": given})

    assert calls.find("n2").host == (used or before)
