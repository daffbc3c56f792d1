"""Whether a person may have an operation carried out: the row's right, on what the call is about.

A call about VMs needs the row's right on each of them. Any other call needs it on the cluster,
but for two kinds: a call whose answer is cut to what the person may see (`mcv.api.seen`) needs
the right on some VM, and a call about a job or a person has a rule of its own (RULES).
"""

import shlex
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from mcv import printable
from mcv.api.operation import Operation, Parameters
from mcv.api.seen import SEEN, sees_job
from mcv.errors import NotPermitted, Refused, refuse_all
from mcv.host import Host
from mcv.recovery import jobs
from mcv.rpc.auth import MAX_NAME, Caller
from mcv.rules.rights import Person, Right, Rights
from mcv.system import users

Rule = Callable[[Host, Rights, Parameters], None]


def person_of(host: Host, caller: Caller) -> Person:
    """The person behind an operator's call, with groups as this node's system tells them now.

    Only groups that grants name are asked for, and nothing of a root shell.
    """
    if caller.superuser_shell:
        return Person(name=caller.name, root_shell=True)
    grants = host.read().permissions.grants
    named = {grant.who[1:] for grant in grants if grant.who.startswith("%")}
    groups = users.groups_of(caller.name, named) if named else ()
    return Person(name=caller.name, groups=groups)


def forwarded(context: dict[str, Any], caller: Caller) -> Person:
    """The person behind a call that a member forwards: the member is believed about it.

    A member of an earlier version tells a name alone, and has judged the right by itself.
    """
    told = context.get("person")
    if told is None:
        who = printable.line(str(context.get("who", caller.name)))[:MAX_NAME]
        return Person(name=who, root_shell=True)
    try:
        person = msgspec.convert(told, Person)
    except msgspec.ValidationError as error:
        raise NotPermitted(f"{caller.name} does not say who asks.") from error
    return Person(
        name=printable.line(person.name)[:MAX_NAME],
        groups=person.groups,
        root_shell=person.root_shell,
    )


def rights_of(host: Host, person: Person) -> Rights:
    """What a person may do now, by the committed document."""
    return Rights(host.read().permissions, person)


def require(
    host: Host, rights: Rights, operation: str, spec: Operation, params: Parameters
) -> None:
    """Raise NotPermitted, for all VMs of the call at once, unless the person has the right."""
    if rule := RULES.get(operation):
        rule(host, rights, params)
        return
    vms = [subject.name for subject in spec.subjects(params) if subject.kind == "vm"]
    if not vms and operation in SEEN:
        if not rights.anywhere(spec.right):
            raise _lacks(rights, spec.right, "any VM")
        return
    require_on(rights, spec.right, vms)
    _require_for_more(rights, operation, params)


def require_on(rights: Rights, right: Right, vms: Collection[str]) -> None:
    """Raise NotPermitted unless a person has a right over VMs; where none is named, over all."""
    missing = [vm for vm in vms if not rights.on_vm(right, vm)]
    refuse_all([_lacks(rights, right, vm) for vm in missing])
    if not vms and not rights.on_all(right):
        raise _lacks(rights, right)


def _lacks(rights: Rights, right: Right, vm: str = "") -> Refused:
    name = rights.person.name
    where = vm or "the cluster and all its VMs"
    pattern = f" --vm {shlex.quote(vm)}" if vm and vm != "any VM" else ""
    return NotPermitted(
        f"{name} lacks the right {right} over {where}.",
        f"An admin can say: mcv permission grant {shlex.quote(name)} {right}{pattern}; "
        f"see: mcv permission check {shlex.quote(name)}",
    )


def _require_for_more(rights: Rights, operation: str, params: Parameters) -> None:
    """What a call needs beyond the right on its VM."""
    name = params.get("name")
    if operation == "vm.rename" and not rights.on_vm(Right.CHANGE, str(params.get("new"))):
        raise _lacks(rights, Right.CHANGE, str(params.get("new")))
    volume = params.get("volume") if operation == "disk.add" else None
    is_own = isinstance(volume, str) and volume.rpartition("-")[0] == f"mcv-{name}"
    if volume is not None and not is_own and not rights.on_all(Right.ADMIN):
        raise NotPermitted(
            f"{rights.person.name} may take back volumes of {name} alone (mcv-{name}-N), since "
            f"a volume keeps what others wrote: that needs the right {Right.ADMIN}."
        )


# Rules of their own


def _see_job(host: Host, rights: Rights, params: Parameters) -> None:
    """A job is followed by its author, and by whoever may see all that it is about."""
    about = jobs.about(host, str(params.get("job")))
    if about is not None and not sees_job(rights, about.who, about.vms):
        raise jobs.no_job(str(params.get("job")))


def _cancel_job(host: Host, rights: Rights, params: Parameters) -> None:
    """A job is cancelled by its author, and by whoever might have begun it."""
    if rights.unlimited:
        return
    job = jobs.find_job(host, str(params.get("job")))
    if job.who == rights.person.name:
        return
    if not sees_job(rights, job.who, job.vms):
        raise jobs.no_job(job.id)
    require_on(rights, Right(job.right), job.vms)


def _check_person(host: Host, rights: Rights, params: Parameters) -> None:
    """Everybody may ask about themselves, and an admin about everybody."""
    if params.get("who") != rights.person.name and not rights.on_all(Right.ADMIN):
        raise _lacks(rights, Right.ADMIN)


def _change_managed(host: Host, rights: Rights, params: Parameters) -> None:
    """An admin of a VM says how it is managed; a service runs what root runs, so all is needed."""
    name = str(params.get("name"))
    require_on(rights, Right.ADMIN, [] if name in host.read().services else [name])


RULES: dict[str, Rule] = {
    "ha.change": _change_managed,
    "job.follow": _see_job,
    "job.cancel": _cancel_job,
    "permission.check": _check_person,
}
