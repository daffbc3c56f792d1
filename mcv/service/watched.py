"""The loop that looks at the services of this host, and what it has seen."""

import logging
import threading
import time

from mcv.document.subject import Subject
from mcv.errors import Busy, McvError
from mcv.host import Host
from mcv.service import running
from mcv.service.answers import ServiceSeen
from mcv.system import service_notes
from mcv.system.attempts import ServiceLook
from mcv.system.service_notes import ServiceNote

log = logging.getLogger(__name__)

PERIOD = 10.0  # s between two looks
PATIENCE = 0.5  # s for a lock: what holds it starts or stops the service


def seen_here(host: Host, name: str) -> ServiceSeen:
    """A service as this host has seen it last."""
    if not running.runs(host, name):
        return ServiceSeen(name=name, state="stopped")
    found = host.watched.last.get(name)
    if found is None or not found.trouble:
        return ServiceSeen(name=name, state="started")
    return ServiceSeen(name=name, state="failed", problem=found.trouble)


def look_after(host: Host) -> None:
    """Look at every service here, each beside the others; end what is not this node's any more.

    A script that hangs holds up its own service alone.
    """
    threads = []
    for note in service_notes.all_(host.settings.run):
        if (at_work := host.watched.threads.get(note.name)) is not None and at_work.is_alive():
            continue
        thread = threading.Thread(target=_look, args=(host, note), daemon=True)
        host.watched.threads[note.name] = thread
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join(PERIOD)


def _look(host: Host, note: ServiceNote) -> None:
    try:
        if _is_lost(host, note.name):
            _end(host, note)
        else:
            _watch(host, note.name)
    except Busy:
        return
    except McvError as error:
        log.warning("service %s: %s", note.name, error)
    except Exception:
        log.exception("service %s", note.name)


def _is_lost(host: Host, name: str) -> bool:
    """Whether the newest documents, which another member has confirmed, give it to another node."""
    if not host.consensus.heard:
        return False
    services = [cluster.services.get(name) for cluster in host.both()]
    return all(
        service is None or (service.node != host.name and service.claim is None)
        for service in services
    )


def _end(host: Host, note: ServiceNote) -> None:
    with host.hold(Subject.service(note.name), f"stop {note.name}", timeout=PATIENCE):
        if not _is_lost(host, note.name):
            return
        log.warning("%s is not this node's any more: it is stopped", note.name)
        running.take_down(host, note, {})
        host.watched.last.pop(note.name, None)
    host.tell("stop", note.name)


def _watch(host: Host, name: str) -> None:
    with host.hold(Subject.service(name), f"look at {name}", timeout=PATIENCE):
        service = host.read().services.get(name)
        if service is None or not running.runs(host, name):
            return
        try:
            found = running.trouble(host, service)
            if found and running.is_gone(host, service):
                log.warning("nothing is left of %s here: %s", name, found)
                running.end(host, service)
                host.watched.last.pop(name, None)
                return
        except McvError as error:
            found = error.message
        now, before = time.monotonic(), host.watched.last.get(name)
        is_same = before is not None and before.trouble == found
        since = before.since if before is not None and is_same else now
        host.watched.last[name] = ServiceLook(found, now, since)
    if found and not is_same:
        log.warning("service %s: %s", name, found)
