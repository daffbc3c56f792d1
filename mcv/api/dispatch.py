"""How a call is served: for which callers, on which node, under which locks and claims."""

import contextlib
import inspect
import logging
from functools import partial
from typing import Any

import msgspec

from mcv import printable
from mcv.api import events
from mcv.api.operation import Operation, Right
from mcv.api.table import TABLE
from mcv.document.subject import Subject
from mcv.errors import NotPermitted, OutcomeOpen, OutOfStep, Refused
from mcv.host import Host
from mcv.rpc.auth import MAX_NAME, Caller
from mcv.system import stall
from mcv.system.answers import plain
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
        # Forwarded, once: the node that was asked has judged the operator's right.
        return run(host, operation, spec, params, _author(context.get("who", caller.name)))
    return perform(host, operation, params, context, caller.name)


def _author(who: object) -> str:
    """The operator's name as the node says that forwards the call."""
    return printable.line(str(who))[:MAX_NAME]


def _serve_operator(
    host: Host, caller: Caller, operation: str, spec: Operation, params: dict[str, Any]
) -> Any:
    require_right(host, caller, spec.right, spec.subjects(params))
    if spec.pid:
        params["pid"] = caller.pid
    if spec.reader:
        subjects = spec.subjects(params)
        still = partial(require_right, host, caller, spec.right, subjects)
        params["reader"] = Reader(caller.name, caller.pid, still)
    where = spec.to(host, params)
    if where == host.name:
        return run(host, operation, spec, params, caller.name)
    if where not in host.read().nodes:
        raise Refused(
            f"There is no node {where}.", f"Nodes: {', '.join(sorted(host.read().nodes))}."
        )
    if where in host.consensus.diverged:
        host.consensus.require_contact()  # raises Diverged: no other command helps
    if host.read().nodes[where].status == "offline" and not spec.offline_too:
        raise Refused(f"{where} is offline.", _ways_on(host, where, spec.subjects(params)))
    return host.forward(where, operation, params, caller.name)


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


def run(host: Host, operation: str, spec: Operation, params: dict[str, Any], who: str) -> Any:
    """Carry an operation out here: as a job where it lasts, else at once."""
    arguments = spec.arguments(params)
    _bind(host, operation, spec, arguments)
    if not spec.job:
        answer = plain(spec.function(host, **arguments))
        events.note_done(host, who, operation, spec, params)
        return answer
    work = partial(spec.function, host, **arguments)

    def carried_out() -> Any:
        if spec.awaits_libvirt:
            _await_libvirt(host)
        return plain(work())

    is_plan = bool(arguments.get("dry_run"))
    told = f"{'plan to ' * is_plan}{title(operation, arguments)}"
    about = events.about(operation, spec, params)
    job = host.jobs.start(told, who, carried_out, spec.brief, is_plan, about)
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
    for key in ("name", "names", "node", "user"):
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
    """Raise NotPermitted unless an operator has a right, on the call's subjects.

    Everybody may view; every other right, on whatever subject, is the superusers'.
    Permissions are about the name behind sudo; a root shell is no subject of them.
    """
    if right is Right.VIEW:
        return
    superusers = host.read().permissions.superusers
    if caller.superuser_shell or not superusers or caller.name in superusers:
        return
    raise NotPermitted(
        f"{caller.name} is no superuser of this cluster.",
        f"A superuser can say: mcv permission add {caller.name}",
    )


def _bind(host: Host, operation: str, spec: Operation, params: dict[str, Any]) -> None:
    try:
        inspect.signature(spec.function).bind(host, **params)
    except TypeError as error:
        raise Refused(
            f"{operation} was called in a way that this mcv does not know: {error}.",
            "Do mcv and mcvd, and both nodes, have the same version?",
        ) from error
