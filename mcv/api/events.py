"""What operators' calls leave in the log of events: who asked for what, and what came of it.

The end of a job is noted where the job ends; here is what never became a job.
"""

import contextlib
from collections.abc import Iterator

from mcv.api.operation import Operation, Parameters
from mcv.errors import McvError, NotPermitted
from mcv.host import Host
from mcv.rpc.auth import Caller
from mcv.rules.rights import Right
from mcv.system.event_log import outcome

NAMES = ("name", "names", "node", "user", "who", "job")  # parameters that say what a call is about


def about(operation: str, spec: Operation, params: Parameters) -> tuple[str, str]:
    """The words of an operation ("migrate to n2"), and what it is about ("web1").

    Names of things are in them, and what was insisted on ("--confirm-dead"): no other parameter
    is told.
    """
    noun, _, verb = operation.partition(".")
    words = [(verb if noun == "vm" else operation).replace(".", " ").replace("_", " ")]
    subjects = [subject.name for subject in spec.subjects(params)]
    key = "" if subjects else next((key for key in NAMES if params.get(key)), "")
    subjects += _texts(params.get(key))
    if key != "node" and spec.subject and spec.subject.parameter != "node":
        words += [f"on {node}" for node in _texts(params.get("node"))]
    words += [f"to {to}" for to in _texts(params.get("to"))]
    words += [
        f"--{key.replace('_', '-')}"
        for key, value in params.items()
        if value is True and key != "dry_run"
    ]
    return " ".join(words), " ".join(subjects)


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [text for text in values if isinstance(text, str) and text]


def note_done(host: Host, who: str, operation: str, spec: Operation, params: Parameters) -> None:
    """Note a call that was answered at once; what only looks is no event."""
    if spec.right is not Right.VIEW and not spec.asks:
        host.jobs.events.record(who, *about(operation, spec, params))


@contextlib.contextmanager
def refusals_noted(
    host: Host, caller: Caller, operation: str, spec: Operation, params: Parameters
) -> Iterator[None]:
    """Note an error of this block: what was asked for did not begin, or came to nothing.

    Of calls that only look, no more than a lack of rights is noted.
    """
    try:
        yield
    except McvError as error:
        if spec.right is not Right.VIEW or isinstance(error, NotPermitted):
            what, subject = about(operation, spec, params)
            host.jobs.events.record(caller.name, what, subject, outcome(error))
        raise
