"""Newer is what descends from mine: told rightly over random histories with their epochs."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mcv.document.lineage import descends, relation
from mcv.document.model import Cluster, digest
from tests.documents import after, document, in_epoch

# Each pair grows a history: (which document it is made from, whether it begins an epoch).
growths = st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=14)


def grow(steps: list[tuple[int, bool]]) -> tuple[list[Cluster], list[set[int]]]:
    """Documents as coordinators write them, and the ancestors of each.

    Within an epoch there is one line, since one coordinator writes it; an epoch may begin
    from any document, also from one that is not the last of its own.
    """
    documents, ancestors = [document()], [{0}]
    last = {documents[0].epoch.id: 0}
    for number, (where, begins) in enumerate(steps, 1):
        base = where % len(documents)
        if not begins:
            base = last[documents[base].epoch.id]
        old = documents[base]
        documents.append(in_epoch(old, f"e{number + 1}") if begins else after(old))
        ancestors.append({*ancestors[base], number})
        last[documents[-1].epoch.id] = number
    return documents, ancestors


@settings(max_examples=150, deadline=None)
@given(growths)
def test_a_document_contains_exactly_those_that_it_was_made_from(
    steps: list[tuple[int, bool]],
) -> None:
    documents, ancestors = grow(steps)
    hashes = [digest(one) for one in documents]

    for newer, one in enumerate(documents):
        for older, other in enumerate(documents):
            assert descends(one, other, hashes[older]) == (older in ancestors[newer])


@settings(max_examples=100, deadline=None)
@given(growths)
def test_two_documents_are_the_same_one_is_newer_or_they_have_diverged(
    steps: list[tuple[int, bool]],
) -> None:
    documents, ancestors = grow(steps)
    names = {"same": "same", "newer": "older", "older": "newer", "diverged": "diverged"}

    for mine, one in enumerate(documents):
        for theirs, other in enumerate(documents):
            how = relation(one, digest(one), other, digest(other))
            wanted = "newer" if mine in ancestors[theirs] else "diverged"
            wanted = "older" if theirs in ancestors[mine] else wanted
            assert how == ("same" if mine == theirs else wanted)
            assert relation(other, digest(other), one, digest(one)) == names[how]


def test_two_documents_of_one_generation_and_epoch_have_diverged() -> None:
    base = document()
    one, other = after(base, "permission.add", user="a"), after(base, "permission.add", user="b")

    assert relation(one, digest(one), other, digest(other)) == "diverged"
