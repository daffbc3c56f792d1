"""The words of `make demo-ha`: what each eye says of what it sees, and when it says nothing."""

import pytest

from tests.lab import demo_ha
from tests.lab.demo_ha import answers, declared, fenced, silent, writes
from tests.lab.ha.fenced import ADDRESS


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("online", ""),
        ("draining", ""),
        ("suspect", "node1 is silent: it is suspect"),
        ("offline", "node1 is silent: it is offline"),
    ],
)
def test_a_node_is_silent_by_its_state(state: str, words: str) -> None:
    rows = [{"node": "node1", "state": state}, {"node": "node2", "state": "online"}]

    assert silent("node1", {"nodes": rows}) == words


@pytest.mark.parametrize(
    ("actions", "is_fenced"),
    [
        ([], False),
        (["off"], False),
        (["status", "off"], False),
        (["off", "status"], True),
        (["status", "off", "off", "status"], True),
    ],
)
def test_a_node_is_fenced_once_its_plug_was_asked_after_it_was_switched_off(
    actions: list[str], is_fenced: bool
) -> None:
    assert ("is fenced" in fenced("node1", actions)) == is_fenced


def test_a_node_is_declared_by_evidence() -> None:
    def document(status: str, evidence: object) -> dict[str, dict[str, dict[str, object]]]:
        return {"nodes": {"node1": {"status": status, "evidence": evidence}}}

    assert declared("node1", document("online", None)) == ""
    assert declared("node1", document("offline", None)) == ""
    assert declared("node1", document("offline", {"kind": "off"})).endswith("evidence is off")


def test_a_guest_writes_again_with_its_first_block_elsewhere() -> None:
    before = {40: "node1", 41: "node1"}

    assert writes("web1", before, "node1", 41) == ""
    said = writes("web1", {**before, 44: "node2", 43: "node2"}, "node1", 41)
    assert said == "web1 writes again on node2: block 43; before the death it was at 41"


@pytest.mark.parametrize(
    ("story", "said", "words"),
    [
        ("nothing", [], ""),
        ("the dead host's last", [("held", ("node1",)), ("answered", ())], ""),
        ("nobody has it", [("held", ()), ("answered", ())], ""),
        ("taken, not answering yet", [("answered", ()), ("held", ("node2",))], ""),
        ("it answers", [("held", ("node2",)), ("answered", ())], f"{ADDRESS} answers, on node2"),
        ("two have it", [("held", ("node1", "node2")), ("answered", ())], ""),
    ],
)
def test_the_address_answers_once_another_host_has_it(
    story: str, said: list[tuple[str, tuple[str, ...]]], words: str
) -> None:
    assert answers("node1", said) == words, story


def test_each_step_says_what_it_shows() -> None:
    assert all(step.__doc__ and "\n" not in step.__doc__ for step in demo_ha.STEPS)
