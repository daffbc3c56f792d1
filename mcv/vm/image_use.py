"""Images by name, as VMs use them: a disk is filled from the file, a CD drive shows it."""

from typing import Any

from mcv.document.disks import Format
from mcv.document.model import Cluster, Vm
from mcv.document.schema import older_member
from mcv.document.subject import Subject
from mcv.drivers import domain_xml, qemu_img
from mcv.errors import HypervisorFailed, Refused
from mcv.host import Host
from mcv.storage import image_copies, image_files, images

TOKEN = "image:"  # before the name, in place of the token of a file that is held open
HOURS = 6 * 3600.0  # s that another copy of the same image may last


def named(host: Host, image: dict[str, Any] | None) -> dict[str, Any] | None:
    """Where a new disk's bytes are, also for an image that is given by its name.

    Raises NotFound where there is no such image, Refused where no disk can be filled from it.
    """
    if image is None or "name" not in image:
        return image
    name = str(image["name"])
    entry = host.read().image(name)
    if entry.kind == "iso":
        raise Refused(f"{name} is a CD, and no disk.", f"--iso {name}")
    images.source_of(host.read(), name, [], host.name)
    return {"node": host.name, "token": f"{TOKEN}{name}", "size": entry.size}


def is_named(token: str) -> bool:
    return token.startswith(TOKEN)


def why_no_cd(cluster: Cluster, name: str, node: str) -> list[Refused]:
    """What forbids that a VM of a node gets an image into its CD drive."""
    if name not in cluster.images:
        return [Refused(f"There is no image {name}.", "See: mcv image list")]
    if cluster.images[name].kind != "iso":
        return [Refused(f"{name} is a disk, and no CD.", f"--image {name}")]
    try:
        images.source_of(cluster, name, [], node)
    except Refused as problem:
        return [problem]
    return []


def why_not_change(cluster: Cluster, vm: Vm, cd: str) -> list[Refused]:
    """What forbids that a VM gets another CD, or none ("")."""
    if cluster.schema < 3:
        return [older_member("A CD cannot be written down")]
    return why_no_cd(cluster, cd, vm.node) if cd else []


def fill(host: Host, token: str, path: str, format: Format) -> None:
    """Write an image into an empty disk of this node, durably; its file comes here first."""
    name = token.removeprefix(TOKEN)
    have(host, name)
    kept = image_files.newest(host, name)
    with image_files.opened(host, name) as fd:
        watch = host.job.check_cancelled
        qemu_img.convert_into(fd, path, format, watch, kept.format)


def bring_cd(host: Host, name: str, image: str = "") -> None:
    """A step: the image in a VM's CD drive is whole on this node; harmless when it is.

    With `image`, the image that is to come into it.
    """
    if cd := image or host.both()[-1].vm(name).cd:
        have(host, cd)


def change_cd(host: Host, name: str) -> None:
    """A step: the drive of the VM that runs here has what the document says; harmless when it has.

    Raises Refused where the guest holds its drive shut.
    """
    vm = host.both()[-1].vm(name)
    path = str(image_files.path(host, vm.cd)) if vm.cd else ""
    drives = host.domains.disks
    if not domain_xml.chipset_has_drive(vm) or drives.medium(name, domain_xml.CD) in (None, path):
        return
    try:
        drives.change_medium(name, domain_xml.CD, path)
    except HypervisorFailed as error:
        raise Refused(
            f"{name} still has its old CD: {error.message.rstrip('.')}",
            f"Eject it in the guest and say it again, or it counts from the next start of {name}.",
        ) from error


def may_change_now(host: Host, vm: Vm) -> bool:
    """Whether another CD can be seen before the next start: the VM runs with a drive."""
    return (
        domain_xml.chipset_has_drive(vm)
        and host.domains.disks.medium(vm.name, domain_xml.CD) is not None
    )


def have(host: Host, name: str) -> None:
    """Have an image whole on this node. Raises McvError, and the document says why."""
    with host.hold(Subject.image(name), f"copy {name}", timeout=HOURS):
        cluster = host.read()
        state = cluster.image(name).nodes.get(host.name)
        if state == "ready" and image_files.why_not_use(host, name) is None:
            return
        source = images.source_of(cluster, name, [host.name], host.name)
        image_copies.copy(host, name, source)
