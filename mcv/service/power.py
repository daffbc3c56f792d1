"""mcv ha service start, stop and migrate; and the steps of plans that start and stop it."""

from msgspec.structs import replace

from mcv import wanted
from mcv.document.ha_entries import Service
from mcv.document.registry import busy
from mcv.document.service_changes import service_of
from mcv.document.subject import Subject
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import managed, preconditions
from mcv.service import fitting, running
from mcv.service.answers import ServiceSeen, ServiceState
from mcv.service.watched import seen_here
from mcv.system import service_notes
from mcv.system.answers import decoded
from mcv.transaction.plan import Step, change, on

ASK = 5.0  # s that an owner has to tell of a service


def start(host: Host, name: str, dry_run: bool = False) -> ServiceState | DryRun:
    """Start a service on its owner; the document says first that it is wanted.

    A part of it that does not run is no reason to refuse: it is stopped whole, and started anew.
    Raises Refused with all that stands in the way; CommandFailed where a part does not start.
    """
    host.consensus.require_contact()
    preconditions.staying(host.name, host.is_leaving)
    with host.hold(Subject.service(name), f"start {name}"):
        service = _require_own(host, name)
        _require_unclaimed(host, name)
        _require_startable(host, service)
        if dry_run:
            return DryRun(plan=_start_in_words(host, service))
        wanted.say(host, name, "started")
        begin(host, name)
    return state_of(host, name, "started")


def _require_startable(host: Host, service: Service) -> None:
    if running.runs(host, service.name) and not running.trouble(host, service):
        raise Refused(f"{service.name} runs on {host.name} already.")
    problems = fitting.why_not_here(host, service)
    if host.read().node(host.name).draining:
        problems.append(
            Refused(
                f"{host.name} is drained: it starts no services.",
                f"Move it: mcv ha service migrate {service.name} --node N",
            )
        )
    refuse_all(problems)


def _start_in_words(host: Host, service: Service) -> list[str]:
    parts = [part.script or part.unit for part in running.parts(service)]
    return [
        f"document: {service.name} is wanted started",
        f"{host.name}: take {service.address} on {service.bridge}, and announce it",
        *(f"{host.name}: start {part}" for part in parts),
    ]


def stop(host: Host, name: str, dry_run: bool = False) -> ServiceState | DryRun:
    """Stop a service on its owner; the document says first that it is not wanted.

    Without a majority it is stopped all the same, and the document is told later. Raises
    CommandFailed where anything of it is left.
    """
    with host.hold(Subject.service(name), f"stop {name}"):
        service = _require_own(host, name)
        if dry_run:
            return DryRun(plan=_stop_in_words(host, service))
        _require_unclaimed(host, name)
        is_wanted = service.entry.wanted == "started"
        if not is_wanted and not running.runs(host, name):
            raise Refused(f"{name} does not run on {host.name}.", f"mcv ha service start {name}")
        note = wanted.say_or_note(host, name, "stopped")
        finish(host, name)
    state = state_of(host, name, "stopped")
    return replace(state, wanted="stopped", notes=[note]) if note else state


def _stop_in_words(host: Host, service: Service) -> list[str]:
    parts = [part.script or part.unit for part in reversed(running.parts(service))]
    return [
        f"document: {service.name} is wanted stopped",
        *(f"{host.name}: stop {part}" for part in parts),
        f"{host.name}: take {service.address} away from {service.bridge}",
    ]


def migrate(
    host: Host, name: str, to: str, dry_run: bool = False, keeps_home: bool = False
) -> ServiceState | DryRun:
    """Move a service to another node: stop it here, start it there; its home moves with it.

    With `keeps_home` no operator puts it there: a node is drained, or it goes home.

    Raises Refused with all that stands in the way; Failed where it does not stop here; DoneInPart
    where it does not start there: it belongs there all the same.
    """

    def prepare() -> Prepared[ServiceState]:
        service, is_running = _require_movable(host, name, to, is_put=not keeps_home)
        home = service.home if keeps_home else to
        plan = move_plan(service, to, is_running, home)
        state = "started" if is_running else "stopped"
        answer = ServiceState(
            name=name, node=to, state=state, wanted=service.entry.wanted, home=home
        )
        return Prepared(list(plan), answer)

    return host.operate(Subject.service(name), f"migrate {name} to {to}", prepare, dry_run)


def move_plan(service: Service, to: str, is_running: bool, home: str = "") -> list[Step]:
    """Stop it on its owner, give it away, which commits it, and start it there.

    Before, everything is taken back. A service that does not start there belongs there all the
    same, as a VM does.
    """
    name, old = service.name, service.node
    owner = Step(change("service.owner", name=name, node=to, home=home), commits=True)
    if not is_running:
        return [owner]
    return [
        Step(on(old, "service.finish", name=name), undo=on(old, "service.begin", name=name)),
        owner,
        Step(on(to, "service.begin", name=name), may_fail=True),
    ]


def _require_movable(host: Host, name: str, to: str, is_put: bool) -> tuple[Service, bool]:
    cluster = host.read()
    service = service_of(cluster, name)
    problems: list[Refused] = []
    if to not in cluster.nodes:
        known = ", ".join(sorted(cluster.nodes))
        problems.append(Refused(f"There is no node {to}.", f"Nodes: {known}."))
    elif to == service.node:
        problems.append(Refused(f"{name} is on {to} already."))
    else:
        problems += preconditions.why_not_accepting(cluster, to)
        problems += managed.why_not_put(cluster, name, to) if is_put else []
    try:
        preconditions.online(cluster, service.node)
        seen = ask_owner(host, service)
    except Refused as problem:
        refuse_all([*problems, problem])
    if not problems:
        paths = [script.path for script in service.scripts]
        answers = fitting.ask(host, [to], service.bridge, service.units, paths)
        found, problems = fitting.digests(answers, paths)
        problems += fitting.why_changed(service, to, found)
    refuse_all(problems)
    return service, seen.state != "stopped"


def ask_owner(host: Host, service: Service) -> ServiceSeen:
    """What the owner tells of a service. Raises McvError where it does not."""
    answer = host.call(service.node, "service.look", timeout=ASK, name=service.name)
    return decoded(service.node, "service.look", answer, ServiceSeen)


def look(host: Host, name: str) -> ServiceSeen:
    """Tell another node of a service here."""
    return seen_here(host, name)


def look_at_all(host: Host) -> list[ServiceSeen]:
    """Tell another node of each service that may run here, or that this node owns."""
    owned = (name for name, one in host.read().services.items() if one.node == host.name)
    noted = (note.name for note in service_notes.all_(host.settings.run))
    return [seen_here(host, name) for name in sorted({*owned, *noted})]


def state_of(host: Host, name: str, state: str = "") -> ServiceState:
    """A service as the document has it now; without a `state`, as its owner tells it."""
    service = service_of(host.read(), name)
    if not state:
        try:
            state = ask_owner(host, service).state
        except McvError:
            state = "unknown"
    return ServiceState(
        name=name,
        node=service.node,
        state=state,
        wanted=service.entry.wanted,
        home=service.home,
    )


def _require_own(host: Host, name: str) -> Service:
    """The service. Raises Refused unless every document gives it to this node."""
    for cluster in reversed(host.both()):
        service = service_of(cluster, name)
        if service.node != host.name:
            raise Refused(f"{name} belongs to {service.node}.", "Look again: mcv ha list")
    return service


def _require_unclaimed(host: Host, name: str) -> None:
    for cluster in host.both():
        claim = service_of(cluster, name).claim
        if claim is not None and claim.operation != host.job.id:
            raise busy(name, claim)


# Steps of plans, and of the manager: whoever calls holds the lock.


def begin(host: Host, name: str) -> None:
    """Start a service here; harmless where it runs well. What runs in part is stopped first."""
    preconditions.staying(host.name, host.is_leaving)
    service = _require_own(host, name)
    if running.runs(host, name):
        if not running.trouble(host, service):
            return
        running.end(host, service)
    refuse_all(fitting.why_not_here(host, service))
    running.bring_up(host, service)
    host.watched.last.pop(name, None)


def finish(host: Host, name: str) -> None:
    """Stop a service here, and see that nothing is left; harmless where nothing runs."""
    running.end(host, service_of(host.both()[-1], name))
    host.watched.last.pop(name, None)
