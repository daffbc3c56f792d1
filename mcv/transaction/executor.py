"""Carrying plans out: forward to the end, or back to the beginning, through any crash."""

import contextvars
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from mcv.document.model import Cluster
from mcv.errors import (
    CallLost,
    Failed,
    McvError,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
    RepairNeeded,
)
from mcv.transaction.journal import Entry, Journal, encode
from mcv.transaction.plan import Action, Call, Change, Item, Step, nodes_of, settling, steps_of

log = logging.getLogger(__name__)

AWAKE = 2.0  # seconds without a look round; nobody is found to be dead in less

# What accompanies each call of a plan: whose claim it is, and its number among the calls.
escort: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "escort", default=None
)

CallNode = Callable[..., Any]  # call(node, operation, /, **params)
MakeChange = Callable[..., Cluster]  # make(change, id=…, who=…, why=…)
Tell = Callable[[str], None]


class Transaction:
    """Carries out plans for one node, writing down how far it is before each step.

    A failure before the settling step means back, after it forward. What can go neither
    way now stays in the journal, and `settle` takes it up again.
    """

    def __init__(
        self,
        me: str,
        journal: Journal,
        call: CallNode,
        make: MakeChange,
        look: Callable[[], None] = lambda: None,
        looked: float = -math.inf,
    ) -> None:
        self._me = me
        self._journal = journal
        self._call = call
        self._make = make
        self._look = look
        self._looked = looked  # when, by the monotonic clock

    def carry_out(self, entry: Entry, tell: Tell) -> None:
        """Carry a plan out.

        Raises Failed when it failed and was undone, RepairNeeded when the journal keeps
        what is left, OutcomeOpen when a change of it is neither made nor refused.
        """
        self._journal.write(entry)
        try:
            for node in sorted(nodes_of(entry.plan) - {self._me}):
                self._call(node, "journal.keep", entry=encode(entry))
        except McvError as error:
            entry.direction, entry.trouble = "back", error.message
            self._end(entry)
            raise Refused(f"{entry.title}: {error.message}", error.hint) from error
        self.settle(entry, tell)

    def settle(self, entry: Entry, tell: Tell) -> None:
        """Go on with an entry from where it is, whichever way it was going."""
        if entry.direction == "forward":
            self._forward(entry, tell, resumed=entry.position >= 0)
        else:
            self._back(entry, tell, None)

    def _forward(self, entry: Entry, tell: Tell, resumed: bool) -> None:
        settled = settling(entry.plan)
        first = entry.position
        for index in range(max(0, entry.position), len(entry.plan)):
            item = entry.plan[index]
            self._note(entry, position=index)
            error = self._each(entry, item, lambda step: step.do, tell)
            if error is None:
                continue
            if isinstance(error, OutcomeOpen):
                self._stay(entry, error, f"{entry.title}: {error.message}")
                raise OutcomeOpen(
                    f"{entry.title} is not settled yet (job {entry.operation}): {error.message}",
                    error.hint or _help(entry),
                ) from error
            if index > settled and all(step.may_fail for step in steps_of(item)):
                entry.trouble = error.message
                continue
            # A settling change that was offered before may have been made, whatever is said
            # now: while that is not known the plan goes neither way.
            changes = any(isinstance(step.do, Change) for step in steps_of(item))
            waits = any(step.seen for step in steps_of(item))
            open_ = (
                isinstance(error, CallLost)
                or (resumed and index == first and changes)
                or (waits and isinstance(error, PeerUnreachable))
            )
            if index > settled or (index == settled and open_):
                raise self._stay(entry, error, f"{entry.title} stopped half-way: {error.message}")
            self._back(entry, tell, error)
        self._end(entry)
        if entry.trouble:
            raise McvError(f"{entry.title} is done, but: {entry.trouble}")

    def _back(self, entry: Entry, tell: Tell, cause: McvError | None) -> None:
        """Undo what was begun, the last first, and raise Failed; what resists stays."""
        if entry.direction == "forward":
            entry.trouble = cause.message if cause else ""
            self._note(entry, direction="back")
        for index in range(entry.position, -1, -1):
            self._note(entry, position=index)
            error = self._each(entry, entry.plan[index], lambda step: step.undo, tell)
            if error is not None:
                raise self._stay(
                    entry,
                    error,
                    f"{entry.title} failed ({entry.trouble}) "
                    f"and is not undone yet: {error.message}",
                )
        self._end(entry)
        hint = cause.hint if cause else ""
        problems = cause.problems if cause else []
        raise Failed(f"{entry.title} failed and was undone: {entry.trouble}", hint, problems)

    def _end(self, entry: Entry) -> None:
        """Release the claim and forget the entry, here and where copies are kept."""
        if entry.release is not None:
            try:
                self._perform(entry, entry.release)
            except McvError as error:
                entry.position = len(entry.plan) if entry.direction == "forward" else -1
                raise self._stay(
                    entry,
                    error,
                    f"{entry.title} is {'done' if entry.direction == 'forward' else 'undone'}, "
                    f"but its claim is not released yet: {error.message}",
                ) from error
        self._journal.remove(entry.operation)
        for node in sorted(nodes_of(entry.plan) - {self._me}):
            try:
                self._call(node, "journal.drop", operation=entry.operation)
            except McvError as error:
                log.info("journal.drop on %s: %s", node, error)

    def _each(
        self, entry: Entry, item: Item, action: Callable[[Step], Action | None], tell: Tell
    ) -> McvError | None:
        """Carry out one side of an item's steps, side by side; the first error, if any."""
        actions = [
            one
            for one in (action(step) for step in steps_of(item))
            if one is not None and not (isinstance(one, Call) and one.node in entry.skip)
        ]
        errors: list[McvError] = []

        def one(wanted: Action) -> None:
            tell(str(wanted))
            try:
                self._perform(entry, wanted)
            except McvError as error:
                errors.append(error)
            except Exception as error:
                log.exception("step %s", wanted)
                errors.append(McvError(f"{wanted}: internal error ({error})"))

        if len(actions) == 1:
            one(actions[0])
            return errors[0] if errors else None
        threads = []
        for wanted in actions:
            context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(one, wanted), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()
        return errors[0] if errors else None

    def _be_awake(self) -> None:
        """See what came meanwhile, if the last look is a while ago.

        A daemon that stood still may have been called dead, and its plan carried on or taken
        back elsewhere. Others refuse its calls then; a step here is judged by the document
        that lies here.
        """
        if time.monotonic() - self._looked > AWAKE:
            self._look()
            self._looked = time.monotonic()

    def _perform(self, entry: Entry, action: Action) -> None:
        if isinstance(action, Change):
            # The position and the way make the id, so that a change is not made twice.
            way = "" if entry.direction == "forward" else "u"
            number = "release" if action is entry.release else str(entry.position)
            document = self._make(
                action, id=f"{entry.operation}.{way}{number}", who=entry.who, why=entry.title
            )
            claim = document.claim_of(entry.subject)
            if claim is not None and claim.operation == entry.operation:
                entry.number = (claim.epoch, claim.generation)
            return
        if action.node == self._me:
            self._be_awake()
        token = escort.set(
            {
                "subject": entry.subject,
                "operation": entry.operation,
                "number": list(entry.number),
                "serial": entry.serial,
            }
        )
        try:
            self._call(action.node, action.operation, **action.params)
        finally:
            escort.reset(token)

    def _note(self, entry: Entry, **values: Any) -> None:
        for key, value in values.items():
            setattr(entry, key, value)
        entry.serial += 1
        self._journal.write(entry)

    def _stay(self, entry: Entry, error: McvError, message: str) -> RepairNeeded:
        self._journal.write(entry)
        log.warning("%s", message)
        return RepairNeeded(f"{message} (job {entry.operation})", error.hint or _help(entry))


def _help(entry: Entry) -> str:
    return f"It is taken up by itself; see: mcv job wait {entry.operation}, or: mcv repair"
