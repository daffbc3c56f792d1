"""What an item may have done, or made of its plan's claims: pure."""

from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.errors import CallLost, McvError, PeerUnreachable, Refused
from mcv.transaction.journal import Entry, EntryClaim
from mcv.transaction.plan import Change, Item, steps_of


def may_have_committed(item: Item, error: McvError, was_begun: bool) -> bool:
    """Whether a committing item that failed may have taken effect all the same.

    `was_begun`: an earlier run of the daemon began this item. While the effect is not known
    the plan goes neither forward nor back.
    """
    answer_was_lost = isinstance(error, CallLost)
    was_proposed_before = was_begun and any(isinstance(step.do, Change) for step in steps_of(item))
    witness_is_silent = isinstance(error, PeerUnreachable) and any(
        step.seen is not None for step in steps_of(item)
    )
    return answer_was_lost or was_proposed_before or witness_is_silent


def was_not_made(item: Item, error: McvError, was_begun: bool) -> bool:
    """Whether an item is known to have had no effect: a change that was refused.

    Such an item is not undone: its way back could meet the entry of another operation, or the
    member whose silence refused the change. An item that an earlier run of the daemon began
    may have been proposed then.
    """
    is_change = all(isinstance(step.do, Change) for step in steps_of(item))
    return is_change and isinstance(error, Refused) and not was_begun


def followed(entry: Entry, number: EntryClaim, document: Cluster) -> Subject:
    """The subject of a claim; of a claim whose subject was renamed, noted by its new name."""
    named = Subject.parse(number.subject)
    if document.claim_of(named) is None:
        for subject in document.subjects():
            claim = document.claim_of(subject)
            is_of_entry = claim is not None and claim.operation == entry.operation
            if is_of_entry and claim and (claim.epoch, claim.generation) == number.number:
                number.subject = str(subject)
                return subject
    return named
