"""Creating a VM: everything is checked first, all problems at once; then it is made by one plan."""

import contextlib
import logging
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from mcv import storage
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import McvError, RepairNeeded, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.vm import boot_files, domains_elsewhere, image_use, placing, processor, validation
from mcv.vm import image as images
from mcv.vm.answers import Created
from mcv.vm.extra_disks import Filling, with_extra_disks
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
    tpm: bool = False,
    seed: dict[str, Any] | None = None,
    kernel: dict[str, Any] | None = None,
    initrd: dict[str, Any] | None = None,
    append: str | None = None,
    start: bool = False,
    dry_run: bool = False,
) -> Created | DryRun:
    """Create a VM that this node owns; with start, start it.

    `image` says where the first disk's bytes are: {"node", "token", "size"}, or {"name"} of an
    image; `seed`, what sets its guest up; `kernel` and `initrd`, what it boots directly. Raises
    Refused with every reason at once; Failed when it was begun and everything was undone;
    DoneInPart when it was created and could not be started.
    """
    image = image_use.named(host, image)
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
            machine=machine, firmware=firmware, boot=boot, cpu_model=cpu_model, tpm=tpm
        ),
        seed=seed,
        direct=boot_files.asked(kernel, initrd, append),
    )

    source, token = (image["node"], image["token"]) if image else (host.name, None)
    held = [(each["node"], each["token"]) for each in (image, seed, kernel, initrd) if each]

    def prepare() -> Prepared[Created]:
        vm, fillings = _judged_and_placed(host, request)
        more = {each.disk: (each.source, each.token) for each in fillings}
        held.extend(more.values())
        pools = placing.new_pools(host.read(), vm)
        answer = Created(
            name=name,
            node=vm.node,
            nodes=vm.nodes,
            vm=vm,
            started=start,
            rounded=validation.rounded(request, vm),
        )
        plan = create_plan(vm, source, token, f"create {name}", pools, start, more)
        return Prepared(plan, answer)

    with until_the_end(host, held):
        return host.operate(Subject.vm(name), f"create {name}", prepare, dry_run)


def _judged_and_placed(host: Host, request: VmRequest) -> tuple[Vm, list[Filling]]:
    """The VM as it will be made, and what its further disks are filled with.

    Raises Refused with every problem at once.
    """
    host.consensus.require_contact()
    problems = Problems()
    fillings: list[Filling] = []
    vm = judged(host, request, problems)
    if not problems.found:
        vm, fillings = with_extra_disks(host, vm, request, problems.found)
    facts = placing.facts_of(host, vm, problems)
    problems.found += processor.why_not(host, vm.name, vm.cpu, list(facts))
    problems.found += domains_elsewhere.foreign(host, vm.name, needed=facts)
    if vm.disks and facts:
        placing.judge_room(vm, facts, problems)
    if not problems.found and vm.disks:
        vm = placing.placed(host.read(), vm, facts)
    if problems.found:
        for filling in fillings:
            _drop(host, filling.source, filling.token)
    refuse_all(problems.found)
    return vm, fillings


@contextlib.contextmanager
def until_the_end(host: Host, held: list[tuple[str, str]]) -> Iterator[None]:
    """Have files held by (node, token), and drop them once the VM is made, undone or refused.

    A creation that is resumed still needs them.
    """
    for node, token in held:
        with contextlib.suppress(McvError):  # the creation will tell what is wrong
            host.call(node, "image.keep", token=token)
    try:
        yield
    except RepairNeeded:
        raise
    except McvError:
        _drop_all(host, held)
        raise
    _drop_all(host, held)


def image_until_the_end(host: Host, source: str, token: str | None) -> AbstractContextManager[None]:
    """The same for an image, where there is one."""
    return until_the_end(host, [(source, token)] if token is not None else [])


def _drop_all(host: Host, held: list[tuple[str, str]]) -> None:
    for node, token in held:
        _drop(host, node, token)


def _drop(host: Host, node: str, token: str) -> None:
    """Drop a file on the node that holds it open, which does so itself after a day."""
    try:
        host.call(node, "image.drop", token=token)
    except McvError as error:
        log.info("dropping an image on %s: %s", node, error)


def fill(host: Host, name: str, source: str, image: str, disk: int = 1) -> None:
    """Write the bytes of an image to a disk, and wait until every replica has them."""
    cluster = host.both()[-1]
    filled = cluster.vm(name).disk(disk)
    kind = storage.of(filled)
    kind.open(host)
    try:
        path = storage.path(cluster, filled, host.name)
        images.fill(host, source, image, path, filled.format)
    finally:
        kind.close(host)
