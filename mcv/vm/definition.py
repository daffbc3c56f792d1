"""A VM's definition on this node."""

import contextlib
import logging
from collections.abc import Iterator

from mcv import storage
from mcv.document.model import Vm
from mcv.drivers.domain_devices import hardware
from mcv.drivers.domain_reading import substance
from mcv.drivers.domain_shape import Shape, shape
from mcv.drivers.domain_xml import domain_xml
from mcv.drivers.libvirt_identity import FOREIGN
from mcv.errors import HypervisorFailed, LibvirtSilent, refuse_all
from mcv.host import Host
from mcv.rules import overlay, tied
from mcv.storage import image_files

log = logging.getLogger(__name__)


def of(host: Host, vm: Vm) -> str:
    """The domain's XML for this node: what the document says, in libvirt's words.

    Raises Refused for an overlay that touches what it may not, and for a VM of another node that
    something ties there: this node's libvirt is handed neither.
    """
    overlay.require(host.read(), vm)
    if vm.node != host.name:
        refuse_all(tied.why_not_move(vm))
    can = host.domains.capabilities()
    domain_type = host.settings.domain_type or can.domain_type
    emulator = host.settings.emulator or can.emulator
    return _xml(host, vm, domain_type, emulator)


def shape_of(host: Host, vm: Vm) -> Shape:
    """What the domain would be like: it asks libvirt nothing, which takes long to tell its type."""
    return shape(_xml(host, vm, domain_type="", emulator=""))


def _xml(host: Host, vm: Vm, domain_type: str, emulator: str) -> str:
    cluster = host.read()
    return domain_xml(
        vm,
        sources=storage.sources(cluster, vm, host.name),
        networks=cluster.networks,
        node=host.name,
        domain_type=domain_type,
        emulator=emulator,
        cd=str(image_files.path(host, vm.cd)) if vm.cd else "",
    )


def are_equal(xml: str, other: str) -> bool:
    """Whether two definitions come down to the same VM."""
    return substance(xml) == substance(other) and hardware(xml) == hardware(other)


def define_for_start(host: Host, vm: Vm) -> None:
    """Define the domain anew. Where that fails, for want of room, an equal definition will do.

    With an overlay none will: what it is about is not compared.
    """
    with overlay_named(vm):
        xml = of(host, vm)
        _define(host, vm, xml)


def _define(host: Host, vm: Vm, xml: str) -> None:
    try:
        host.domains.define(xml)
    except HypervisorFailed as error:
        if vm.overlay:
            raise
        is_there = host.domains.state(vm.name) not in ("absent", FOREIGN)
        if not is_there or not are_equal(host.domains.xml(vm.name), xml):
            raise
        log.warning("%s starts as it is defined: %s", vm.name, error)


@contextlib.contextmanager
def overlay_named(vm: Vm) -> Iterator[None]:
    """Say of an error of a domain with an overlay how the VM is started all the same."""
    try:
        yield
    except HypervisorFailed as error:
        if not vm.overlay or isinstance(error, LibvirtSilent):
            raise
        ways = (
            f"{vm.name} has an overlay: mcv edit {vm.name}. "
            f"Without it, this once: mcv start {vm.name} --without-overlay"
        )
        hint = f"{error.hint} {ways}".strip()
        raise type(error)(error.message, hint, error.problems) from error
