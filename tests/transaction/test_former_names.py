"""Journal entries that were written before an operation got its present name."""

import pytest

from mcv.api.table import TABLE
from mcv.transaction.former_names import FORMER_NAMES
from mcv.transaction.journal import Entry, decode, encode
from mcv.transaction.plan import Call, Step, on, steps_of, together


@pytest.mark.parametrize("former", FORMER_NAMES)
def test_an_entry_with_a_former_name_is_read_under_the_present_one(former: str) -> None:
    step = Step(on("n1", former, name="web1"), undo=on("n1", former), seen=on("n1", former))
    entry = Entry(
        operation="1", title="", who="", node="n1", plan=[step, together([step])], answer={"a": 1}
    )

    read = decode(encode(entry))

    actions = [
        action
        for item in read.plan
        for found in steps_of(item)
        for action in (found.do, found.undo, found.seen)
    ]
    assert {action.operation for action in actions if isinstance(action, Call)} == {
        FORMER_NAMES[former]
    }
    assert len(actions) == 6
    assert FORMER_NAMES[former] in TABLE
    assert former not in TABLE
