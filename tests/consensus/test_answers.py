"""An answer of another shape costs that peer's part of a round, and never the round."""

import logging
from typing import Any

import pytest

from mcv.cluster import divergence, members
from mcv.consensus.unanimous.wire import Observation, checked
from mcv.document.model import encode
from mcv.errors import CallLost, McvError, OutcomeOpen, PeerUnreachable, Refused
from tests.consensus.test_agreement import agreement, hashes, permit, proposals, users
from tests.documents import after
from tests.fakes.cluster import Bend, FakeCluster


def nested(depth: int = 5000) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


# Answers as another version, a fault or a lie would give them.
SHAPES: dict[str, Any] = {
    "nothing": None,
    "an empty object": {},
    "a list": [],
    "a string": "yes",
    "a number": 7,
    "a truth": True,
    "nesting": nested(),
    "nesting in an object": {"hash": nested(), "document": nested(), "accepted": nested()},
    "keys of other types": {
        "hash": 5,
        "proposal": [],
        "document": {},
        "between": "x",
        "accepted": "yes",
    },
}

# Texts where a document ought to be.
DOCUMENTS: dict[str, Any] = {
    "no JSON": "no document",
    "another value": "[]",
    "a lone surrogate": "\ud800",
    "deep": "[" * 100_000,
    "an empty text": "",
}


def bend(operation: str, value: Any, node: str = "n2") -> Bend:
    """Have one node answer one operation with a value of our own."""
    return lambda to, asked, answer: value if (to, asked) == (node, operation) else answer


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Any:
    return SHAPES[request.param]


def test_a_poll_answered_in_another_shape_is_no_answer_and_the_round_goes_on(
    three: FakeCluster, shape: Any, caplog: pytest.LogCaptureFixture
) -> None:
    three.boot("n1")
    permit_by_n3 = after(three.read(), "permission.add", user="alice")
    agreement(three, "n3").store.begin(permit_by_n3)
    three.bend = bend("config.poll", shape)

    with caplog.at_level(logging.WARNING):
        three.look("n1")

    assert users(three, "n1") == ("alice",)
    assert not agreement(three, "n1").in_contact and agreement(three, "n1").heard == {"n3"}
    assert "does not understand what n2 answered to config.poll" in caplog.text


def test_a_change_is_refused_where_a_poll_is_answered_in_another_shape(
    three: FakeCluster, shape: Any
) -> None:
    before = hashes(three)
    three.bend = bend("config.poll", shape)

    with pytest.raises(PeerUnreachable, match="n2 does not answer, so nothing was changed"):
        permit(three, "n1", "alice")

    assert hashes(three) == before and proposals(three) == set()


def test_an_acceptance_in_another_shape_leaves_the_outcome_open(
    three: FakeCluster, shape: Any
) -> None:
    three.bend = bend("config.accept", shape)

    with pytest.raises(OutcomeOpen, match="n2 did not answer"):
        permit(three, "n1", "alice")

    assert users(three, "n1") == () and "n1" in proposals(three)


def test_an_acceptance_that_says_no_is_none(three: FakeCluster) -> None:
    three.bend = bend("config.accept", {"accepted": False})

    with pytest.raises(OutcomeOpen, match="n2 did not answer"):
        permit(three, "n1", "alice")


def test_a_commit_is_made_whatever_shape_a_member_answers_in(
    three: FakeCluster, shape: Any
) -> None:
    three.bend = bend("config.commit", shape)

    permit(three, "n1", "alice")

    assert users(three, "n1") == users(three, "n2") == users(three, "n3") == ("alice",)


def test_a_proposal_answered_in_another_shape_is_found_in_the_document(
    three: FakeCluster, shape: Any
) -> None:
    three.bend = bend("config.propose", shape, "n1")

    document = permit(three, "n2", "alice")

    assert document.changes.count("alice.1") == 1


@pytest.mark.parametrize("text", DOCUMENTS)
@pytest.mark.parametrize("where", ["document", "between"])
def test_a_document_that_cannot_be_read_is_no_answer(
    three: FakeCluster, text: str, where: str
) -> None:
    agreement(three, "n2").store.begin(after(three.read(), "permission.add", user="alice"))
    whole: dict[str, Any] = {"document": encode(three.read("n2")), "proposal": None, "between": []}
    broken = DOCUMENTS[text] if where == "document" else [DOCUMENTS[text]]
    three.bend = bend("config.fetch", {**whole, where: broken})

    three.look("n1")

    assert users(three, "n1") == () and "n2" not in agreement(three, "n1").diverged
    with pytest.raises(PeerUnreachable, match="n2 does not answer"):
        permit(three, "n1", "bob")
    with pytest.raises(Refused, match="n2 does not answer"):
        three.run("n1", divergence.sync, node="n2")


def test_a_fetch_in_another_shape_stops_a_declaration_before_anything_is_written(
    three: FakeCluster, shape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "is_alive", lambda host, name: False)
    before = hashes(three)
    three.down.add("n3")
    three.bend = bend("config.fetch", shape)

    with pytest.raises(PeerUnreachable, match="n2 does not answer"):
        three.run("n1", members.offline, names=["n3"], confirm_dead=True)

    assert hashes(three) == before and proposals(three) == set()


def test_an_answer_of_a_newer_mcv_may_say_more() -> None:
    answer = {
        "version": "9",
        "epoch": 1,
        "epoch_id": "a",
        "generation": 1,
        "hash": "h",
        "proposal": None,
        "in_contact": True,
        "mood": "good",
    }

    assert checked("n2", "config.poll", answer, Observation).hash == "h"
    del answer["hash"]
    with pytest.raises(CallLost) as error:
        checked("n2", "config.poll", answer, Observation)
    assert isinstance(error.value, McvError) and "hash" in error.value.message
