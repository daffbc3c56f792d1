"""Creating a VM: everything is checked first, all problems at once; then it is made by one plan."""

import contextlib
import logging
import uuid
from collections.abc import Iterator
from typing import Any

from mcv import storage
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import McvError, RepairNeeded, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.vm import domains_elsewhere, placing, validation
from mcv.vm import image as images
from mcv.vm.answers import Created
from mcv.vm.hardware_choice import HardwareRequest
from mcv.vm.plans import create_plan
from mcv.vm.validation import Problems, VmRequest, judged

log = logging.getLogger(__name__)


def create(
    host: Host,
    name: str,
    memory: str,
    cpus: int = 1,
    disks: list[str] | None = None,
    storage: str | None = None,
    pool: str | None = None,
    image: dict[str, Any] | None = None,
    nodes: list[str] | None = None,
    networks: list[str] | None = None,
    iso: str | None = None,
    autostart: str | None = None,
    start_order: int | None = None,
    start_delay: int | None = None,
    machine: str | None = None,
    firmware: str | None = None,
    boot: list[str] | None = None,
    cpu_model: str | None = None,
    start: bool = False,
    dry_run: bool = False,
) -> Created | DryRun:
    """Create a VM that this node owns; with start, start it.

    `image` says where the first disk's bytes are: {"node", "token", "size"}. Raises
    Refused with every reason at once; Failed when it was begun and everything was undone;
    DoneInPart when it was created and could not be started.
    """
    request = VmRequest(
        name=name,
        uuid=str(uuid.uuid4()),
        memory=memory,
        cpus=cpus,
        disks=disks or [],
        storage=storage,
        pool=pool,
        image=image,
        nodes=nodes,
        networks=networks or [],
        iso=iso,
        autostart=autostart,
        start_order=start_order,
        start_delay=start_delay,
        hardware=HardwareRequest(
            machine=machine, firmware=firmware, boot=boot, cpu_model=cpu_model
        ),
    )

    source, token = (image["node"], image["token"]) if image else (host.name, None)

    def prepare() -> Prepared[Created]:
        vm = _judged_and_placed(host, request)
        pools = placing.new_pools(host.read(), vm)
        answer = Created(
            name=name,
            node=vm.node,
            nodes=vm.nodes,
            vm=vm,
            started=start,
            rounded=validation.rounded(request, vm),
        )
        return Prepared(create_plan(vm, source, token, f"create {name}", pools, start), answer)

    with image_until_the_end(host, source, token):
        return host.operate(Subject.vm(name), f"create {name}", prepare, dry_run)


def _judged_and_placed(host: Host, request: VmRequest) -> Vm:
    """The VM as it will be made; Refused with every problem at once."""
    host.consensus.require_contact()
    problems = Problems()
    vm = judged(host, request, problems)
    facts = placing.facts_of(host, vm, problems)
    problems.found += domains_elsewhere.foreign(host, vm.name, needed=facts)
    if vm.disks and facts:
        placing.judge_room(vm, facts, problems)
    if not problems.found and vm.disks:
        vm = placing.placed(host.read(), vm, facts)
    refuse_all(problems.found)
    return vm


@contextlib.contextmanager
def image_until_the_end(host: Host, source: str, token: str | None) -> Iterator[None]:
    """Have the image held, and drop it once the VM is made, undone or refused.

    A creation that is resumed still needs it.
    """
    if token is not None:
        with contextlib.suppress(McvError):  # the creation will tell what is wrong
            host.call(source, "image.keep", token=token)
    try:
        yield
    except RepairNeeded:
        raise
    except McvError:
        _drop_image(host, source, token)
        raise
    _drop_image(host, source, token)


def _drop_image(host: Host, source: str, token: str | None) -> None:
    """Drop the image on the node that holds it open, which does so itself after a day."""
    if token is None:
        return
    try:
        host.call(source, "image.drop", token=token)
    except McvError as error:
        log.info("dropping an image on %s: %s", source, error)


def fill(host: Host, name: str, source: str, image: str, disk: int = 1) -> None:
    """Write an image's bytes to a disk, and wait until every replica has them."""
    cluster = host.both()[-1]
    target = cluster.vm(name).disk(disk)
    kind = storage.of(target)
    kind.open(host)
    try:
        images.fill(host, source, image, storage.path(cluster, target, host.name), target.format)
    finally:
        kind.close(host)
