"""Journal entries of other schemas: an earlier one is upgraded, a later one refused in words."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcv.document.subject import Subject
from mcv.errors import McvError
from mcv.transaction.journal import Entry, EntryClaim, Journal, decode, encode
from mcv.transaction.plan import Item, Step, change, commit_point, on, together
from mcv.transaction.upgrades import SCHEMA

FIRST: dict[str, Any] = {
    "operation": "job1",
    "title": "migrate web1 to n2",
    "who": "alice",
    "node": "n1",
    "subject": "vm:web1",
    "number": [1, 7],
    "release": {"type": "change", "name": "vm.release", "params": {"name": "web1"}},
    "plan": [
        {
            "type": "together",
            "steps": [
                {
                    "type": "step",
                    "do": {"type": "call", "node": "n1", "operation": "a", "params": {}},
                    "settles": False,
                }
            ],
        },
        {
            "type": "step",
            "do": {"type": "change", "name": "vm.assign", "params": {"settles": "a value"}},
            "settles": True,
        },
    ],
    "position": 1,
    "answer": {"settles": "too"},
}


def test_an_entry_without_a_schema_is_of_the_first() -> None:
    entry = decode(json.dumps(FIRST))

    assert entry.schema == SCHEMA
    assert entry.subjects == [Subject.vm("web1")]
    assert entry.claims == [EntryClaim("vm:web1", (1, 7))]
    assert [str(release) for release in entry.releases] == ["document: vm.release name=web1"]
    plan: list[Item] = [
        together([Step(on("n1", "a"))]),
        Step(change("vm.assign", settles="a value"), commits=True),
    ]
    assert entry.plan == plan and commit_point(entry.plan) == 1
    assert (entry.position, entry.answer) == (1, {"settles": "too"})


def test_an_entry_says_its_schema_and_is_read_as_it_was_written() -> None:
    entry = Entry(operation="1", title="", who="", node="n1", claims=[EntryClaim("node:n2")])

    assert json.loads(encode(entry))["schema"] == SCHEMA == 2
    assert decode(encode(entry)) == entry


@pytest.mark.parametrize("schema", [SCHEMA + 1, "new", None])
def test_an_entry_of_a_later_version_is_refused_in_words(tmp_path: Path, schema: object) -> None:
    (tmp_path / "job1.json").write_text(json.dumps({**FIRST, "schema": schema}))

    error = Journal(tmp_path).unreadable()["job1"]

    assert "job1 (migrate web1 to n2) has schema" in error.message
    assert "Install the version that wrote it" in error.hint
    assert Journal(tmp_path).entries() == [] and Journal(tmp_path).holds("job1")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', '{"plan": 1}'])
def test_what_is_no_entry_is_refused_in_words(text: str) -> None:
    with pytest.raises(McvError, match="journal entry cannot be read"):
        decode(text)
