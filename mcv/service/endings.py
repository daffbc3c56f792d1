"""Every service of a host is ended as the host goes down: what is wanted of them stays."""

import logging
import threading
import time

from mcv.document.subject import Subject
from mcv.errors import McvError
from mcv.host import Host
from mcv.service import running
from mcv.system import service_notes
from mcv.system.service_notes import ServiceNote

log = logging.getLogger(__name__)

PATIENCE = 35.0  # s that all services have together: systemd ends mcvd after a minute


def end_all(host: Host) -> list[str]:
    """Stop the services that run here, side by side; those of which something is left."""
    threads = [
        threading.Thread(target=_end, args=(host, note), daemon=True)
        for note in service_notes.all_(host.settings.run)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    left = [note.name for note in service_notes.all_(host.settings.run)]
    if left:
        log.warning("services that have not ended: %s", ", ".join(left))
    return left


def _end(host: Host, note: ServiceNote) -> None:
    try:
        with host.hold(Subject.service(note.name), f"stop {note.name}", timeout=PATIENCE):
            service = host.read().services.get(note.name)
            scripts = running.scripts(service) if service is not None else {}
            running.take_down(host, note, scripts)
            host.watched.last.pop(note.name, None)
    except McvError as error:
        log.warning("the end of service %s: %s", note.name, error)
    except Exception:
        log.exception("the end of service %s", note.name)
