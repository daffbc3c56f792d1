"""How VMs leave their owner, and come back to their home: asked of the owner, done by it."""

from typing import Literal

from msgspec import Struct

from mcv.document.model import Cluster, Vm
from mcv.errors import McvError, Refused, in_full
from mcv.host import Host
from mcv.rules import preconditions
from mcv.rules.domain import ACTIVE
from mcv.status.report import NodeReport
from mcv.storage import moves
from mcv.system.answers import ask_typed
from mcv.vm import live, migrate, own_job, power
from mcv.vm.replica_move import Problem, hints, whys

ASK = 3.0  # s that a node has to tell how much of its memory is free

Way = Literal["live", "stopped", "shutdown"]


class Departure(Struct, frozen=True, kw_only=True):
    """How a VM would leave its owner: to which node, in which way.

    `to` is "" where it would stay: `problems` say why. `live`: it runs all the while; `shutdown`:
    its guest is shut down, and it is started over there.
    """

    name: str
    to: str = ""
    way: Way = "stopped"
    problems: list[Problem] = []

    def said(self, owner: str) -> str:
        """The departure in a line."""
        if self.to:
            how = {"live": ", live", "shutdown": ", shut down and started there", "stopped": ""}
            return f"{self.name} goes from {owner} to {self.to}{how[self.way]}."
        return f"{self.name} cannot leave {owner}: {whys(self.problems)}."

    def lines(self, owner: str) -> list[str]:
        """The departure in a line, and below it what helps where the VM would stay."""
        return [self.said(owner), *([f"  {self.hint}"] if not self.to and self.hint else [])]

    @property
    def hint(self) -> str:
        return hints(self.problems)


def departures(host: Host, names: list[str], shutdown: bool, to: str = "") -> list[Departure]:
    """How each of these VMs of this node would leave it, nothing being changed.

    With `shutdown` a VM that cannot move while it runs may be shut down. `to` is the only node to
    go to; without it, of several that can have the VM, the one with most memory free has it.
    """
    cluster = host.read()
    free = _free(host, cluster)
    found = []
    for vm in (cluster.vms[name] for name in names if name in cluster.vms):
        departure = _departure(host, vm, shutdown, [to] if to else _places(cluster, vm, free))
        if departure.to and departure.way != "stopped":
            free[departure.to] = free.get(departure.to, 0) - vm.memory
        found.append(departure)
    return found


def _free(host: Host, cluster: Cluster) -> dict[str, int]:
    """The bytes of memory that are free on each other node that tells."""
    others = [name for name in cluster.online if name != host.name]
    answers = ask_typed(host.call, others, "node.report", ASK, NodeReport)
    return {
        name: answer.memory.free
        for name, answer in answers.items()
        if isinstance(answer, NodeReport) and answer.memory is not None
    }


def _places(cluster: Cluster, vm: Vm, free: dict[str, int]) -> list[str]:
    """The nodes that may have a VM, the first one first: home, then what has most memory free."""
    found = []
    for node in moves.candidates(cluster, vm):
        member = cluster.node(node)
        if member.status == "online" and not member.draining:
            found.append(node)
    return sorted(found, key=lambda node: (node != vm.home, -free.get(node, 0), node))


def _departure(host: Host, vm: Vm, shutdown: bool, places: list[str]) -> Departure:
    problems: list[Refused] = []
    ways = _ways(host, vm, shutdown)
    for to in places:
        for way in ways:
            why = _why_not(host, vm, to, way)
            if not why:
                return Departure(name=vm.name, to=to, way=way)
            # What forbids a move while it runs is what the operator can do something about.
            problems += why if way == ways[0] else []
    if not places:
        problems.append(
            Refused(
                f"no node that takes VMs can have {vm.name}", f"See: mcv info {vm.name}, mcv info"
            )
        )
    said = {problem.message: problem for problem in problems}.values()
    found = [Problem(message=problem.message, hint=problem.hint) for problem in said]
    return Departure(name=vm.name, way=ways[0], problems=found)


def _ways(host: Host, vm: Vm, shutdown: bool) -> list[Way]:
    if host.domains.state(vm.name) not in ACTIVE:
        return ["stopped"]
    return ["live", "shutdown"] if shutdown else ["live"]


def _why_not(host: Host, vm: Vm, to: str, way: Way) -> list[Refused]:
    """What forbids this move, by the very checks that the move would make."""
    try:
        preconditions.accepting(host.read(), to)
        if way == "live":
            live.migrate(host, vm.name, to, dry_run=True)
        else:
            waits = way == "shutdown"
            migrate.migrate(host, vm.name, to, wait_for_shutdown=waits, dry_run=True)
    except McvError as error:
        problems = [Refused(message, hint) for message, hint in error.problems]
        return problems or [Refused(error.message, error.hint)]
    return []


# Steps of plans that claim the node which the VMs leave, or come back to.


def give_away(
    host: Host,
    node: str,
    name: str,
    who: str,
    shutdown: bool = False,
    to: str = "",
    restarts: bool = False,
) -> None:
    """Move a VM of this node to another one, by a job of its own; its home stays.

    `restarts`: an earlier call may have shut it down for the move. Without effect where the VM is
    not this node's. A job that is at work on the VM, maybe this very move by an earlier call, is
    waited for. Errors: McvError, in a sentence that names the
    VM and says why it stays; Busy where no job here carries out the operation that claims it.
    """
    while (vm := host.read().vms.get(name)) is not None and vm.node == host.name:
        if vm.claim is not None:
            own_job.follow(host, name, vm.claim)
            continue
        [departure] = departures(host, [name], shutdown, to)
        if not departure.to:
            raise McvError(departure.said(host.name), departure.hint)
        _leave(host, departure, who, restarts)


def _shut_down(host: Host, name: str) -> None:
    """Shut a VM down that is started elsewhere: it is wanted as before."""
    timeout = host.settings.shutdown_timeout
    power.shutdown(host, name, wait=True, timeout=timeout, keeps_wanted=True)


def _leave(host: Host, departure: Departure, who: str, restarts: bool) -> None:
    name, to = departure.name, departure.to

    def work() -> object:
        if departure.way == "live":
            return live.migrate(host, name, to, keeps_home=True)
        starts = restarts or departure.way == "shutdown"
        if departure.way == "shutdown":
            _shut_down(host, name)
        return migrate.migrate(host, name, to, start_after_migration=starts, keeps_home=True)

    try:
        own_job.carry_out(host, f"move {name} to {to}", who, work, vm=name)
    except McvError as error:
        why = in_full(error)
        raise McvError(f"{name} did not go to {to}: {why}", error.hint) from error
