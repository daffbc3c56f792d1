"""The VMs of a node that is offline are taken over at one word, each by a node that can."""

from msgspec import Struct

from mcv import storage
from mcv.cluster import service_departures
from mcv.cluster.service_departures import Leaving
from mcv.document.arms import has_leases
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.drbd import stale_marks
from mcv.errors import McvError, PeerUnreachable, Refused, in_full, with_hint
from mcv.ha.env import Unknown
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions
from mcv.system.answers import ask_typed
from mcv.system.observations import ago
from mcv.transaction.plan import Item, Step, change, on
from mcv.vm import own_job, register
from mcv.vm.replica_move import Problem, hints, whys

ASK = 60.0  # s that a node has to judge all VMs that it could take over
CALL = 120.0  # s that a takeover has


class Prospect(Struct, frozen=True, kw_only=True):
    """Whether a node can take a VM over, and in words what that would rest on."""

    name: str
    problems: list[Problem] = []
    lines: list[str] = []


class TakenOver(Struct, frozen=True, kw_only=True):
    """A node whose VMs were taken over, in the order of their start, and those that were left."""

    node: str
    moved: list[str]
    left: list[str]
    taken_over: bool = True


def prospects(host: Host, names: list[str]) -> list[Prospect]:
    """Answer another node: which of these VMs this node can take over, nothing being changed."""
    vms = [host.read().vms[name] for name in names if name in host.read().vms]
    return [_prospect(host, vm) for vm in vms if vm.node != host.name]


def _prospect(host: Host, vm: Vm) -> Prospect:
    lines = [line for disk in vm.disks for line in storage.of(disk).prospects(host, vm)]
    try:
        register.register(host, vm.name, dry_run=True)
    except McvError as error:
        said = error.problems or [(error.message, error.hint)]
        problems = [Problem(message=message, hint=hint) for message, hint in said]
        return Prospect(name=vm.name, problems=problems, lines=lines)
    return Prospect(name=vm.name, lines=lines)


def take_all_over(host: Host, node: str, dry_run: bool = False) -> TakenOver | DryRun:
    """Have other nodes own every VM of a node that is offline in the document.

    None is started. Where there are leases one change gives all of them away, while no replica is
    marked anew. Errors: Refused where none can be taken over; DoneInPart where some are left.
    """

    def prepare() -> Prepared[TakenOver]:
        host.consensus.require_contact()
        cluster = host.read()
        if cluster.node(node).status == "online":
            raise Refused(f"{node} is online.", f"mcv evacuate {node}")
        vms = sorted(
            (vm for vm in cluster.vms.values() if vm.node == node),
            key=lambda vm: (vm.start_order, vm.name),
        )
        choices = _choices(host, cluster, vms)
        services = service_departures.leaving(host, cluster, node)
        given = service_departures.takers(services)
        if vms and not given and not any(choice.by for choice in choices):
            problems = [
                (f"{choice.name}: {problem.message}", problem.hint)
                for choice in choices
                for problem in choice.problems
            ]
            raise Refused(f"No VM of {node} can be taken over.", "", problems)
        answer = TakenOver(
            node=node,
            moved=[*(choice.name for choice in choices if choice.by), *given],
            left=[
                *(choice.name for choice in choices if not choice.by),
                *(each.name for each in services if not each.to),
            ],
        )
        lines = [*_in_words(host, node, choices), *_of_services(services)]
        plan = _plan(host, node, choices, given)
        return Prepared(plan, answer, preview=lambda plan: DryRun(plan=lines))

    return host.operate(Subject.node(node), f"take over all VMs of {node}", prepare, dry_run)


class _Choice(Struct, frozen=True, kw_only=True):
    """The node that takes a VM over, "" where none can, and what is known of the VM there."""

    name: str
    by: str = ""
    problems: list[Problem] = []
    lines: list[str] = []

    @property
    def why(self) -> str:
        return whys(self.problems)

    @property
    def hint(self) -> str:
        """What helps, of each node that could have taken the VM over but for a problem."""
        return hints(self.problems)


def _choices(host: Host, cluster: Cluster, vms: list[Vm]) -> list[_Choice]:
    names = [vm.name for vm in vms]
    answers = ask_typed(
        host.call, cluster.online, "node.takeovers", ASK, list[Prospect], names=names
    )
    load = {
        node: sum(vm.memory for vm in cluster.vms.values() if vm.node == node)
        for node in cluster.online
    }
    chosen = []
    for vm in vms:
        choice = _choice(cluster, vm, answers, load)
        if choice.by:
            load[choice.by] += vm.memory
        chosen.append(choice)
    return chosen


def _choice(
    cluster: Cluster, vm: Vm, answers: dict[str, list[Prospect] | McvError], load: dict[str, int]
) -> _Choice:
    """Its home first, then the node whose VMs have least memory; of a replica there is one."""
    places = [node for node in load if node in vm.nodes]
    problems, lines = [], []
    for node in sorted(places, key=lambda node: (node != vm.home, load[node], node)):
        answer = answers[node]
        if isinstance(answer, McvError):
            problems.append(Problem(message=answer.message, hint=answer.hint))
            continue
        known = next((one for one in answer if one.name == vm.name), None)
        if known is not None and not known.problems:
            return _Choice(name=vm.name, by=node, lines=known.lines)
        if known is not None:
            problems += known.problems
            lines += known.lines
    if not places:
        message = f"its disks are on {vm.node} alone" if vm.disks else "no node can have it"
        problems.append(Problem(message=message, hint=f"It is there when {vm.node} is back."))
    return _Choice(name=vm.name, problems=problems, lines=lines)


def _in_words(host: Host, node: str, choices: list[_Choice]) -> list[str]:
    """What may be lost, VM by VM: an operator decides by it."""
    heard = ago(host.observations.last_heard(node))
    lines = [f"{node} was last heard {heard}; what it wrote after that is lost."]
    for choice in choices:
        end = f"is taken over by {choice.by}" if choice.by else f"is left: {choice.why}"
        lines.append(f"{choice.name} {end}.")
        below = choice.lines if choice.by else [choice.hint] * bool(choice.hint)
        lines += [f"  {line}" for line in below]
    return lines


def _of_services(services: list[Leaving]) -> list[str]:
    return [
        f"{each.name} is taken over by {each.to}."
        if each.to
        else f"{each.name} is left: {each.why}"
        for each in services
    ]


def _plan(host: Host, node: str, choices: list[_Choice], services: dict[str, str]) -> list[Item]:
    """Each VM for itself; where there are leases, all of them by the change that commits the plan.

    Services are given to these nodes all at once.
    """
    if not has_leases(host.read()):
        steps = [_take(host, node, choice, choice.by) for choice in choices]
        given = change("vm.take_all", name=node, takers=services)
        first = Step(given if services else change("barrier"), commits=True)
        return [first, *steps]
    takers = {choice.name: choice.by for choice in choices if choice.by}
    try:
        # The marks that were judged are among them: a node that is offline marks nothing more.
        _, revision = stale_marks.read_at(host)
    except Unknown as error:
        raise PeerUnreachable(f"The marks of replicas cannot be read: {error}.") from error
    who = host.job.who
    return [
        Step(
            change("vm.take_all", name=node, takers={**takers, **services}, marks=revision),
            commits=True,
        ),
        *(
            Step(on(by, "node.take_vm", node=node, name=name, who=who))
            for name, by in takers.items()
        ),
        *(_take(host, node, choice, "") for choice in choices if not choice.by),
    ]


def _take(host: Host, node: str, choice: _Choice, by: str) -> Step:
    """Have a node take one VM over, or tell why it is left."""
    why = "" if by else with_hint(f"{choice.why}.", choice.hint)
    names = {"node": node, "name": choice.name, "by": by, "who": host.job.who}
    return Step(on(host.name, "node.take_over", **names, why=why), may_fail=True)


# Steps of the plan, which claims the node that is offline.


def take_over(host: Host, node: str, name: str, by: str, who: str, why: str = "") -> None:
    """Have a node own a VM. Errors: McvError, in a sentence that names the VM."""
    if not by:
        raise McvError(f"{name} is left on {node}: {why}")
    try:
        host.call(by, "node.take_vm", timeout=CALL, node=node, name=name, who=who)
    except McvError as error:
        said = in_full(error)
        text = with_hint(f"{name} is not taken over by {by}: {said}", error.hint)
        raise McvError(text) from error


def take_vm(host: Host, node: str, name: str, who: str) -> None:
    """Take a VM over, by a job of this node; define it where it is this node's already.

    Without effect where it is neither node's.
    """
    preconditions.accepting(host.read(), host.name)
    while (vm := host.read().vms.get(name)) is not None and vm.node == node:
        if vm.claim is not None and host.jobs.running(vm.claim.operation):
            own_job.follow(host, name, vm.claim)
            continue
        title = f"take {name} over from {node}"
        own_job.carry_out(host, title, who, lambda: register.register(host, name), vm=name)
    if vm is not None and vm.node == host.name and host.domains.state(name) == "absent":
        register.register(host, name)
