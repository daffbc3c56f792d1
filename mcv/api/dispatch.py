"""How a call is served: for which callers, on which node, under which locks and claims."""

import contextlib
import inspect
import logging
from functools import partial
from typing import Any

import msgspec

from mcv.api import events, rights
from mcv.api.operation import Operation
from mcv.api.seen import Sight, seen
from mcv.api.table import TABLE
from mcv.document.subject import Subject
from mcv.errors import McvError, NotPermitted, OutcomeOpen, OutOfStep, Refused
from mcv.host import Host
from mcv.rpc.auth import Caller
from mcv.rules.rights import Person, Right
from mcv.system import stall
from mcv.system.answers import plain
from mcv.transaction.job_records import About
from mcv.transaction.journal import EntryClaim, Escort
from mcv.vm.consoles import Reader

log = logging.getLogger(__name__)

CANCEL = 0.5  # s between two looks whether a job that waits for libvirt was cancelled
HOLD = 60.0  # s that a step waits for the lock of a step before it
SERVED = 1000  # claims whose last served step is remembered


def row(operation: str) -> Operation:
    if operation not in TABLE:
        raise Refused(f"There is no operation {operation}.", "Do both sides run the same mcv?")
    return TABLE[operation]


def serve(
    host: Host, caller: Caller, operation: str, params: dict[str, Any], context: dict[str, Any]
) -> Any:
    """Serve a call from the wire, an operator's or a peer's."""
    spec = row(operation)
    if caller.kind not in spec.who:
        raise NotPermitted(f"{operation} is not for {caller.kind}s.")
    params = dict(params)
    if caller.kind == "operator":
        with events.refusals_noted(host, caller, operation, spec, params):
            return _serve_operator(host, caller, operation, spec, params)
    if spec.step and host.consensus.damage:
        raise host.consensus.damage
    if not spec.any_epoch:
        require_in_step(host, caller, context)
    if spec.sender:
        params["sender"] = caller.name
    if "operator" in spec.who:
        # Forwarded, once. Whether the person has the right by this node's document counts, too.
        person = rights.forwarded(context, caller)
        rights.require(host, rights.rights_of(host, person), operation, spec, params)
        return run(host, operation, spec, params, person)
    return perform(host, operation, params, context, caller.name)


def _serve_operator(
    host: Host, caller: Caller, operation: str, spec: Operation, params: dict[str, Any]
) -> Any:
    """Serve an operator's call, here or by the node that carries it out.

    Errors and answers name no VM that the person may not see.
    """
    person = rights.person_of(host, caller)
    held = rights.rights_of(host, person)
    try:
        rights.require(host, held, operation, spec, params)
        where = spec.to(host, params)
        if spec.pid:
            params["pid"] = caller.pid
        if spec.reader:
            still = partial(require_right, host, caller, spec.right, spec.subjects(params))
            params["reader"] = Reader(caller.name, caller.pid, still)
        if where == host.name:
            answer = run(host, operation, spec, params, person)
        else:
            answer = _forward(host, where, operation, spec, params, person)
    except McvError as error:
        typed = [subject.name for subject in spec.subjects(params)]
        raise Sight(held, host.both(), typed).error(error) from error
    return seen(Sight(held, host.both()), operation, answer)


def _forward(
    host: Host, where: str, operation: str, spec: Operation, params: dict[str, Any], person: Person
) -> Any:
    if where not in host.read().nodes:
        raise Refused(
            f"There is no node {where}.", f"Nodes: {', '.join(sorted(host.read().nodes))}."
        )
    if where in host.consensus.diverged:
        host.consensus.require_contact()  # raises Diverged: no other command helps
    if host.read().nodes[where].status == "offline" and not spec.offline_too:
        raise Refused(f"{where} is offline.", _ways_on(host, where, spec.subjects(params)))
    return host.forward(where, operation, params, person)


def _ways_on(host: Host, owner: str, subjects: list[Subject]) -> str:
    """What to do about VMs whose owner is offline."""
    vms = host.read().vms
    here = [
        subject.name
        for subject in subjects
        if subject.kind == "vm" and subject.name in vms and host.name in vms[subject.name].nodes
    ]
    takeovers = "".join(f"; or take {vm} over: mcv register {vm} --node {host.name}" for vm in here)
    return f"Bring it back with: mcv node online {owner}{takeovers}"


def run(host: Host, operation: str, spec: Operation, params: dict[str, Any], person: Person) -> Any:
    """Carry an operation out here: as a job where it lasts, else at once."""
    arguments = spec.arguments(params)
    if spec.person:
        arguments["person"] = person
    _bind(host, operation, spec, arguments)
    if not spec.job:
        answer = plain(spec.function(host, **arguments))
        events.note_done(host, person.name, operation, spec, params)
        return answer
    work = partial(spec.function, host, **arguments)

    def carried_out() -> Any:
        if spec.awaits_libvirt:
            _await_libvirt(host)
        return plain(work())

    is_plan = bool(arguments.get("dry_run"))
    told = f"{'plan to ' * is_plan}{title(operation, arguments)}"
    vms = tuple(subject.name for subject in spec.subjects(params) if subject.kind == "vm")
    about = About(spec.right, vms, *events.about(operation, spec, params), is_plan)
    job = host.jobs.start(told, person.name, carried_out, spec.brief, about)
    return {"job": job.id, "node": host.name}


def _await_libvirt(host: Host) -> None:
    """Wait until libvirt here answers, before anything is looked at; the job may be cancelled."""
    with host.job.may_be_cancelled(waits=False):
        while not host.domains.answers():
            stall.tell(host.domains.silence or f"libvirt does not answer on {host.name}")
            while not host.domains.await_answer(CANCEL):
                host.job.check_cancelled()
    stall.tell("")


def title(operation: str, params: dict[str, Any]) -> str:
    """An operation in words: "migrate web1 to node2"."""
    noun, _, verb = operation.partition(".")
    words = [(verb if noun == "vm" else operation).replace(".", " ").replace("_", " ")]
    for key in ("name", "names", "node", "user", "who", "right"):
        value = params.get(key) or []
        words += map(str, value if isinstance(value, list | tuple) else [value])
    if params.get("to"):
        words.append(f"to {params['to']}")
    return " ".join(words)


def perform(
    host: Host, operation: str, params: dict[str, Any], context: dict[str, Any], caller: str
) -> Any:
    """Carry out a call of the node `caller`, which may be this node: a step for its claims.

    A step is served to the node that its claims name and for what they claim. That is looked at
    before a lock or a file is touched, and again under the locks.
    """
    spec = row(operation)
    _bind(host, operation, spec, params)
    if not spec.step:
        return plain(spec.function(host, **params))
    escort = _escort(operation, context)
    _require_all_held(host, escort, caller)
    _require_claimed(escort, operation, spec.subjects(params))
    is_of_vm = any(Subject.parse(claim.subject).kind == "vm" for claim in escort.claims)
    if is_of_vm and host.domains.silence:
        raise OutcomeOpen(f"{operation} waits on {host.name}: {host.domains.silence}.")
    return stall.until_stalled(
        partial(_serve_step, host, operation, params, escort, caller), operation
    )


def _serve_step(
    host: Host, operation: str, params: dict[str, Any], escort: Escort, caller: str
) -> Any:
    spec = row(operation)
    with contextlib.ExitStack() as locks:
        claimed = [] if spec.looks else [Subject.parse(claim.subject) for claim in escort.claims]
        for subject in sorted(claimed):
            why = f"{operation} ({escort.operation})"
            timeout = min(spec.timeout, HOLD)
            locks.enter_context(host.hold(subject, why, timeout=timeout))
        require_claim(host, escort, caller)
        return spec.function(host, **params)


def _escort(operation: str, context: dict[str, Any]) -> Escort:
    try:
        escort = msgspec.convert(context["escort"], Escort)
    except (KeyError, msgspec.ValidationError) as error:
        raise OutOfStep(f"{operation} came without a claim.") from error
    if not escort.claims:
        raise OutOfStep(f"{operation} came without a claim.")
    return escort


def _require_claimed(escort: Escort, operation: str, subjects: list[Subject]) -> None:
    """Errors: OutOfStep for a step about something that is not among its claims."""
    claimed = {Subject.parse(claim.subject) for claim in escort.claims}
    if not subjects or not claimed.issuperset(subjects):
        about = ", ".join(map(str, subjects)) or "nothing"
        raise OutOfStep(f"{operation} is about {about}, which its plan does not claim.")


def require_claim(host: Host, escort: Escort, caller: str) -> None:
    """Precondition of a step: document or proposal hold its claims, and no later step came.

    Effect: the step's serial is remembered. Errors: OutOfStep.
    """
    _require_all_held(host, escort, caller)
    # Steps of other claims are served in threads of their own, which forget the same.
    for oldest in list(host.served)[:-SERVED]:
        host.served.pop(oldest, None)
    key = (escort.operation, tuple(claim.number for claim in escort.claims))
    if escort.serial < host.served.get(key, 0):
        raise OutOfStep(f"A later step of {escort.operation} has been served already.")
    host.served[key] = escort.serial


def _require_all_held(host: Host, escort: Escort, caller: str) -> None:
    try:
        for claim in escort.claims:
            _require_held(host, escort.operation, claim, caller)
    except OutOfStep:
        if host.read().store is None:
            raise
        host.consensus.poll()  # a majority has committed the claim, and this node may be behind
        for claim in escort.claims:
            _require_held(host, escort.operation, claim, caller)


def _require_held(host: Host, operation: str, number: EntryClaim, caller: str) -> None:
    """Errors: OutOfStep unless document or proposal hold this very claim, on the caller's node."""
    subject = Subject.parse(number.subject)
    for cluster in host.both():
        claim = cluster.claim_of(subject)
        is_this = claim is not None and claim.operation == operation
        if is_this and claim and (claim.epoch, claim.generation) == number.number:
            if claim.node == caller:
                return
            raise OutOfStep(f"The claim on {subject} by {operation} is not {caller}'s.")
    raise OutOfStep(f"{host.name} knows of no claim on {subject} by {operation}.")


def require_in_step(host: Host, caller: Caller, context: dict[str, Any]) -> None:
    epoch = host.read().epoch
    if context.get("epoch") != [epoch.number, epoch.id]:
        raise OutOfStep(
            f"{caller.name} and {host.name} are not in step.", "It mends itself when both are up."
        )


def require_right(host: Host, caller: Caller, right: Right, subjects: list[Subject]) -> None:
    """Raise NotPermitted unless an operator has a right now, on VMs or else on the cluster.

    It is asked again and again while a stream lasts: groups and grants are looked up anew.
    """
    held = rights.rights_of(host, rights.person_of(host, caller))
    rights.require_on(held, right, [one.name for one in subjects if one.kind == "vm"])


def _bind(host: Host, operation: str, spec: Operation, params: dict[str, Any]) -> None:
    try:
        inspect.signature(spec.function).bind(host, **params)
    except TypeError as error:
        raise Refused(
            f"{operation} was called in a way that this mcv does not know: {error}.",
            "Do mcv and mcvd, and both nodes, have the same version?",
        ) from error
