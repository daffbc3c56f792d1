"""What runs of a service on this host: brought up in order, taken down in reverse, looked at."""

import logging
import time
from typing import NamedTuple

from mcv.document.ha_entries import Service
from mcv.errors import CommandFailed, DoneInPart, McvError, Refused
from mcv.host import Host
from mcv.system import service_notes
from mcv.system.service_notes import ServiceNote

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """A unit of systemd; `script` is the script that a transient one is for, "" for another."""

    unit: str
    script: str = ""


def parts(service: Service) -> list[Part]:
    """What starts after the address, in this order."""
    scripts = [
        Part(unit_of_script(service.name, number), script.path)
        for number, script in enumerate(service.scripts, 1)
    ]
    return [*(Part(unit) for unit in service.units), *scripts]


def unit_of_script(name: str, number: int) -> str:
    """The transient unit that a script of a service runs in."""
    return f"mcv-service-{name}-{number}.service"


def note_of(service: Service) -> ServiceNote:
    units = tuple(part.unit for part in parts(service))
    return ServiceNote(
        name=service.name, address=service.address, bridge=service.bridge, units=units
    )


def bring_up(host: Host, service: Service) -> None:
    """Take the address, announce it, and start units and scripts in order.

    Precondition: nothing of it runs here, and the host can run it. Raises Refused where another
    host has the address, or this one has no lease; CommandFailed where a part does not start: what
    had begun is stopped again. DoneInPart where that does not end.
    """
    _require_address_free(host, service)
    service_notes.write(host.settings.run, note_of(service))
    try:
        host.services.address.add(service.address, service.bridge)
        host.job.progress(f"{service.address} is on {service.bridge}")
        host.services.address.announce(service.address, service.bridge)
        for part in parts(service):
            host.job.progress(f"start {part.script or part.unit}")
            _start(host, part)
    except McvError as error:
        _take_back(host, service, error)
        raise


def _require_address_free(host: Host, service: Service) -> None:
    """A second holder of the address would be reached by some and not by others."""
    doors = host.services.address
    if device := doors.where(service.address):
        raise Refused(
            f"{service.address} is on {device} of {host.name} already, and mcv has not put it "
            "there.",
            f"On {host.name}: ip address del {service.address} dev {device}",
        )
    if holder := doors.holder(service.address, service.bridge):
        raise Refused(
            f"Another host, {holder}, has {service.address} on {service.bridge} of {host.name}.",
            f"Who is it: ip neighbour show dev {service.bridge}",
        )


def _start(host: Host, part: Part) -> None:
    if part.script:
        host.services.units.start_script(part.unit, part.script)
    else:
        host.services.units.start(part.unit)


def _take_back(host: Host, service: Service, why: McvError) -> None:
    try:
        take_down(host, note_of(service), scripts(service))
    except McvError as error:
        raise DoneInPart(
            f"{service.name} did not start: {why.message} What had begun does not end: "
            f"{error.message}",
            f"When that is mended: mcv ha service stop {service.name}",
        ) from why


def scripts(service: Service) -> dict[str, str]:
    """The scripts by their units."""
    return {part.unit: part.script for part in parts(service) if part.script}


def end(host: Host, service: Service) -> None:
    """Stop a service here in reverse, as the document knows it; harmless where nothing runs.

    What a note names besides, of before it was changed, is stopped too. Then its `sleeptime`
    passes. Raises CommandFailed where anything of it is left.
    """
    if not runs(host, service.name):
        return  # nothing of it has begun in this boot
    noted = service_notes.read(host.settings.run, service.name)
    note = note_of(service)
    if noted is not None:
        units = (*note.units, *(unit for unit in noted.units if unit not in note.units))
        note = ServiceNote(
            name=service.name, address=noted.address, bridge=noted.bridge, units=units
        )
    take_down(host, note, scripts(service))
    if service.sleeptime:
        host.job.progress(f"waiting {service.sleeptime} s after the stop of {service.name}")
        time.sleep(service.sleeptime)


def take_down(host: Host, note: ServiceNote, scripts: dict[str, str]) -> None:
    """Stop the units of a note in reverse, and then take the address away.

    A part that does not stop holds up no other one. Raises CommandFailed with all that is left;
    the note stays then.
    """
    problems = []
    for unit in reversed(note.units):
        host.job.progress(f"stop {scripts.get(unit, unit)}")
        try:
            if unit in scripts:
                host.services.units.stop_script(unit, scripts[unit])
            else:
                host.services.units.stop(unit)
        except McvError as error:
            problems.append(error.message)
    try:
        host.services.address.remove(note.address)
    except McvError as error:
        problems.append(error.message)
    if problems:
        raise CommandFailed(f"{note.name} is not stopped on {host.name}: {' '.join(problems)}")
    service_notes.remove(host.settings.run, note.name)
    _put_back_others(host, note)


def _put_back_others(host: Host, gone: ServiceNote) -> None:
    """The kernel may take the other addresses of a network away with the first one of it."""
    for note in service_notes.all_(host.settings.run):
        if note.bridge != gone.bridge:
            continue
        try:
            if not host.services.address.where(note.address):
                log.warning("%s went with %s, and is put back", note.address, gone.address)
                host.services.address.add(note.address, note.bridge)
                host.services.address.announce(note.address, note.bridge)
        except McvError as error:
            log.warning("%s: %s", note.address, error)


def runs(host: Host, name: str) -> bool:
    """Whether anything of a service may be running here."""
    return service_notes.exists(host.settings.run, name)


def is_gone(host: Host, service: Service) -> bool:
    """Whether nothing at all is left of what a note names: it has ended, and not by a stop."""
    doors = host.services
    return not doors.address.where(service.address) and all(
        doors.units.is_gone(part.unit) for part in parts(service)
    )


def trouble(host: Host, service: Service) -> str:
    """Why a service that runs here is not as it should be; "" where it is."""
    doors = host.services
    where = doors.address.where(service.address)
    if where != service.bridge:
        return f"its address {service.address} is {f'on {where}' if where else 'gone'}"
    if service.monitor_link and not doors.address.has_link(service.bridge):
        return f"{service.bridge} has no link"
    for part in parts(service):
        if part.script:
            if why := doors.units.script_trouble(part.unit, part.script):
                return why
        else:
            state = doors.units.state(part.unit)
            if not state.is_active:
                return f"{part.unit} is {state.in_words}"
    return ""
