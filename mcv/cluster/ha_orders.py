"""A node carries out what the manager orders about its own VMs: each order is a job, once."""

import contextvars
import logging
import threading

from msgspec.structs import replace

from mcv import wanted
from mcv.document.subject import Subject
from mcv.errors import (
    DoneInPart,
    LibvirtSilent,
    McvError,
    OutcomeOpen,
    Refused,
    RepairNeeded,
    in_full,
)
from mcv.ha.orders import Outcome
from mcv.host import Host, Prepared
from mcv.service import power as service_power
from mcv.service.answers import ServiceState
from mcv.transaction.job_records import MCV_HA
from mcv.vm import live, migrate, own_job, power, register

log = logging.getLogger(__name__)

NEWS = 2.0  # s in which the manager looks again by itself
OPEN = (OutcomeOpen, RepairNeeded, LibvirtSilent)  # the facts have to tell what came of it

TITLES = {
    "start": "start {name} for high availability",
    "shutdown": "shut {name} down for high availability",
    "stop": "stop {name} for high availability",
    "migrate": "migrate {name} to {target} for high availability",
    "relocate": "relocate {name} to {target} for high availability",
}


def order(host: Host, uid: str, do: str, name: str, target: str = "", sender: str = "") -> None:
    """Begin what the manager orders, unless it was begun; the report tells what comes of it.

    The sender is told as soon as it has ended, whatever came of it; "" is this node.

    Refused for what is no order, and for a VM that this node does not own.
    """
    if do not in TITLES:
        raise Refused(f"{do!r} is no order.")
    cluster = host.read()
    owner = service.node if (service := cluster.services.get(name)) else cluster.vm(name).node
    if owner != host.name:
        raise Refused(f"{name} is {owner}'s, not {host.name}'s.", "Look again.")
    if host.managing.orders.accept(name, uid):
        work = (host, uid, do, name, target, sender)
        threading.Thread(target=_carried_out, args=work, name=f"order {uid}", daemon=True).start()


def news(host: Host) -> None:
    """Hear from another node that something which was ordered has ended: the next round is due."""
    host.managing.news.set()


def _carried_out(host: Host, uid: str, do: str, name: str, target: str, sender: str) -> None:
    _try(host, uid, do, name, target)
    if sender in ("", host.name):
        news(host)
        return
    try:
        host.call(sender, "ha.news", timeout=NEWS)
    except McvError as error:
        log.debug("%s looks again by itself: %s", sender, error)


def _try(host: Host, uid: str, do: str, name: str, target: str) -> None:
    title = TITLES[do].format(name=name, target=target)
    is_service = name in host.read().services

    def work() -> None:
        host.managing.orders.begun(name, uid, host.job.id)
        (_do_service if is_service else _do)(host, do, name, target)

    vm = "" if is_service else name
    try:
        contextvars.Context().run(own_job.carry_out, host, title, MCV_HA, work, vm=vm)
    except McvError as error:
        log.warning("%s: %s", title, error)
        host.managing.orders.ended(name, _outcome(host, do, name, error), in_full(error))
    except Exception as error:
        log.exception("%s", title)
        host.managing.orders.ended(name, "unknown", str(error))
    else:
        host.managing.orders.ended(name, "done")


def _do(host: Host, do: str, name: str, target: str) -> None:
    if do == "start":
        _start(host, name)
    elif do == "shutdown":
        _shut_down(host, name)
    elif do == "stop":
        _stop(host, name)
    elif do == "migrate":
        live.migrate(host, name, to=target, keeps_home=True)
    else:
        _relocate(host, name, target)


def _do_service(host: Host, do: str, name: str, target: str) -> None:
    """A service with an address. It is stopped whole: a shutdown is a stop."""
    if do in ("migrate", "relocate"):

        def prepare() -> Prepared[ServiceState]:
            service = host.read().services[name]
            is_running = service_power.look(host, name).state != "stopped"
            plan = list(service_power.move_plan(service, target, is_running))
            answer = replace(service_power.state_of(host, name, "started"), node=target)
            return Prepared([*plan], answer)

        host.operate(Subject.service(name), f"migrate {name} to {target}", prepare)
        return
    with host.hold(Subject.service(name), f"{do} {name}"):
        if do == "start":
            if not _is_wanted(host, name):
                raise Refused(f"{name} is not wanted started any more.", "See: mcv ha list")
            service_power.begin(host, name)
        else:
            service_power.finish(host, name)


def _start(host: Host, name: str) -> None:
    if host.domains.is_active(name):
        return
    if host.domains.state(name) == "absent":
        register.register(host, name)  # it was taken over
    power.start_if(host, name, lambda: _is_wanted(host, name))


def _is_wanted(host: Host, name: str) -> bool:
    """Whether it is to run still: an operator may have said otherwise meanwhile."""
    return wanted.is_started(host, name) and wanted.noted(host, name) != "stopped"


def _shut_down(host: Host, name: str) -> None:
    """Ask the guest, and wait for as long as this host waits for its guests."""
    if host.domains.is_active(name):
        timeout = host.settings.shutdown_timeout
        power.shutdown(host, name, wait=True, timeout=timeout, keeps_wanted=True)


def _stop(host: Host, name: str) -> None:
    if host.domains.is_active(name):
        power.stop(host, name, keeps_wanted=True)


def _relocate(host: Host, name: str, target: str) -> None:
    try:
        _shut_down(host, name)
    except DoneInPart:
        _stop(host, name)
    migrate.migrate(host, name, to=target, keeps_home=True)


def _outcome(host: Host, do: str, name: str, error: McvError) -> Outcome:
    """What a failure has left, by what is to be seen here."""
    if isinstance(error, OPEN) and not isinstance(error, DoneInPart):
        return "unknown"
    try:
        if name in host.read().services:
            is_active = service_power.look(host, name).state != "stopped"
        else:
            is_active = host.domains.is_active(name)
    except McvError:
        return "unknown"
    if do == "start":
        is_whole = is_active and name not in host.read().services
        return "done" if is_whole else "failed"
    return "stop-failed" if do in ("stop", "relocate") and is_active else "failed"
