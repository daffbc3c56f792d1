"""mcv create: a new VM, with all that it begins with."""

import contextlib
import logging
from typing import Any

import click

from mcv import sizes
from mcv.commands import image_source, user_files
from mcv.commands.completion import (
    KINDS,
    files,
    images_and_files,
    networks,
    nodes,
    pools,
    several,
    words,
)
from mcv.commands.options import (
    common,
    listed,
    only_given,
    start_options,
    start_settings,
    whole_number,
)
from mcv.commands.session import Session
from mcv.errors import McvError, Refused, refuse_all

log = logging.getLogger(__name__)


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--memory", metavar="SIZE", required=True, help="Memory: 512MiB, 8GiB, 10GB.")
@click.option("--cpus", metavar="N", default="1", show_default=True, help="Number of CPUs.")
@click.option(
    "--disk",
    "disks",
    metavar="SIZE",
    multiple=True,
    help="A disk, its size rounded up to 4 MiB; may be repeated. With --image it may be left out.",
)
@click.option(
    "--storage",
    metavar="KIND",
    shell_complete=words(KINDS),
    help="Where disks live: drbd (two replicas), lvm, thin, file or shared. Default: what --pool "
    "is, drbd where it is enabled and there are two nodes, else file.",
)
@click.option(
    "--pool",
    metavar="P",
    shell_complete=pools,
    help="The pool that disks lie in; default: the only one.",
)
@click.option(
    "--image",
    metavar="NAME|FILE",
    shell_complete=images_and_files,
    help="Fill the first disk from an image, or from a FILE: raw, qcow2; also as gz, xz, zst.",
)
@click.option(
    "--image-format",
    type=click.Choice(["raw", "qcow2"]),
    help="What --image is: raw, for a disk that only looks like another format (LUKS).",
)
@click.option("--node", metavar="N", shell_complete=nodes, help="The owner; default: this node.")
@click.option(
    "--nodes",
    "replicas",
    metavar="A,B",
    shell_complete=several(nodes),
    help="The two nodes that hold its replicas.",
)
@click.option(
    "--network",
    "networks",
    metavar="NET",
    multiple=True,
    shell_complete=networks,
    help="A network interface there; may be repeated.",
)
@click.option(
    "--iso", metavar="NAME|FILE", shell_complete=images_and_files, help="The image in its CD drive."
)
@click.option(
    "--machine",
    metavar="M",
    shell_complete=words("q35|pc"),
    help="QEMU's machine: q35, the default, or pc.",
)
@click.option(
    "--firmware",
    metavar="bios|uefi",
    shell_complete=words("bios|uefi"),
    help="What boots it; default: bios.",
)
@click.option(
    "--boot",
    metavar="disk,cd,net",
    help="What it boots from, in this order; default: disk,cd.",
)
@click.option(
    "--cpu-model",
    metavar="M",
    help="A processor model of libvirt's, host-model or host-passthrough. Default: host-model.",
)
@click.option(
    "--cloud-init",
    "user_data",
    metavar="USERDATA",
    shell_complete=files,
    help="A file that tells cloud-init in the guest what to do at its first boot.",
)
@click.option(
    "--ssh-key",
    metavar="FILE",
    shell_complete=files,
    help="Public keys that may log in, for cloud-init in the guest.",
)
@click.option(
    "--hostname",
    metavar="H",
    help="The guest's host name, for cloud-init in it; default with the above: NAME.",
)
@click.option("--tpm", is_flag=True, help="Is refused: what a TPM holds could not move.")
@click.option(
    "--kernel", metavar="FILE", shell_complete=files, help="A Linux kernel that is booted directly."
)
@click.option("--initrd", metavar="FILE", shell_complete=files, help="The initrd of --kernel.")
@click.option("--append", metavar="TEXT", help="The words for --kernel, as a preseed needs them.")
@click.option("--start", is_flag=True, help="Start it, too.")
@start_options
@common(dry_run=True)
@click.pass_obj
def create(
    session: Session,
    /,
    name: str,
    cpus: str,
    disks: tuple[str, ...],
    image: str | None,
    image_format: str | None,
    replicas: str | None,
    networks: tuple[str, ...],
    machine: str | None,
    firmware: str | None,
    boot: str | None,
    cpu_model: str | None,
    user_data: str | None,
    ssh_key: str | None,
    hostname: str | None,
    kernel: str | None,
    initrd: str | None,
    append: str | None,
    tpm: bool,
    start: bool,
    autostart: str | None,
    start_order: str | None,
    start_delay: str | None,
    **asked: str | None,
) -> None:
    """Create a VM, and with --start, start it.

    Everything that stands in the way is told at once, and then nothing was changed. A VM that
    was created and could not be started is there nevertheless (exit 4).

    \b
    Examples:
      mcv create web1 --memory 1GiB --image debian.qcow2 --start
      mcv create web1 --memory 2GiB --cpus 2 --disk 20GiB --network lan
      mcv create db1 --memory 8GiB --disk 10GiB --disk 200GiB --image debian.qcow2
      mcv create db1 --memory 8GiB --disk 10GiB --node n2 --nodes n1,n2 --dry-run
    """
    if image_format is not None and image is None:
        raise click.UsageError("--image-format goes with --image.")
    if kernel is None and not (initrd is None and append is None):
        raise click.UsageError("--initrd and --append go with --kernel.")
    wanted: dict[str, Any] = {
        **asked,
        "name": name,
        "cpus": whole_number(cpus, "--cpus"),
        "disks": list(disks),
        "nodes": listed(replicas),
        "networks": list(networks),
        **start_settings(autostart, start_order, start_delay),
        **_hardware(machine, firmware, listed(boot), cpu_model),
        **only_given(start=start, tpm=tpm),
        "dry_run": session.dry_run,
        "image": None,
    }
    files = [user_data, ssh_key, kernel, initrd, *_sources(session, image, image_format, wanted)]
    _refuse_first(session, wanted, [path for path in files if path is not None])
    if image is not None:
        wanted["image"] = image_source.image(session, image, image_format)
    if wanted["iso"] is not None:
        wanted["iso"] = image_source.iso(session, wanted["iso"])
    if (seed := _take_seed(session, user_data, ssh_key, hostname)) is not None:
        wanted["seed"] = seed
    if append is not None:
        wanted["append"] = append
    for word, path in (("kernel", kernel), ("initrd", initrd)):
        if path is not None:
            with user_files.opened(path) as fd:
                wanted[word] = session.take(fd, "raw")
    created = _created(session, wanted)
    session.show(created, _said(name, created))


def _sources(
    session: Session, image: str | None, format: str | None, wanted: dict[str, Any]
) -> list[str]:
    """Which of --image and --iso are FILEs."""
    disk = image is not None and (format or not image_source.is_known(session, image))
    cd = wanted["iso"] is not None and not image_source.NAME.fullmatch(wanted["iso"])
    return [image or ""] * bool(disk) + [wanted["iso"]] * cd


def _refuse_first(session: Session, wanted: dict[str, Any], files: list[str]) -> None:
    """Refuse what is certain before a file is read, with the files that cannot be read.

    Without its files the VM is judged as it would be created; what only they tell comes later.
    """
    if files:
        asked = {**wanted, "dry_run": True, "iso": None}
        refuse_all(user_files.unreadable(files) + _refusals(session, asked))


def _created(session: Session, wanted: dict[str, Any]) -> Any:
    """Have the VM created; where its node cannot be asked, the other problems are told too."""
    try:
        return session.run("vm.create", **wanted)
    except Refused as refusal:
        if refusal.problems or wanted.get("node") is None or wanted["nodes"] is not None:
            raise
        others = _refusals(session, {**wanted, "node": None, "dry_run": True})
        refuse_all([refusal, *(each for each in others if each.message != refusal.message)])
        raise


def _refusals(session: Session, asked: dict[str, Any]) -> list[Refused]:
    """What a creation would be refused for."""
    try:
        session.run("vm.create", **asked)
    except Refused as refusal:
        return [Refused(*told) for told in refusal.problems] or [refusal]
    except McvError as error:
        log.debug("the creation itself will tell: %s", error)
    return []


def _take_seed(
    session: Session, user_data: str | None, ssh_key: str | None, hostname: str | None
) -> Any:
    """Have the daemon read what sets the guest up, from files that stay open until then."""
    if user_data is None and ssh_key is None and hostname is None:
        return None
    with contextlib.ExitStack() as files:
        fds = {
            word: files.enter_context(user_files.opened(path))
            for word, path in (("user_data", user_data), ("keys", ssh_key))
            if path is not None
        }
        return session.call("vm.take_seed", **fds, hostname=hostname)


def _hardware(
    machine: str | None, firmware: str | None, boot: list[str] | None, cpu_model: str | None
) -> dict[str, str | list[str]]:
    """The parameters about the machine; what was not named is left out."""
    named = {"machine": machine, "firmware": firmware, "boot": boot, "cpu_model": cpu_model}
    return {key: value for key, value in named.items() if value is not None}


def _said(name: str, created: dict[str, Any]) -> str:
    """What came of it, in a sentence, and what is other than it was asked for."""
    rounded = "".join(
        f" Disk {each['disk']} has {sizes.exact(each['size'])}, "
        f"rounded up from {sizes.exact(each['asked'])}."
        for each in created.get("rounded", ())
    )
    if created.get("started"):
        return f"{name} is created on {created.get('node')} and runs.{rounded}"
    return f"{name} is created on {created.get('node')}.{rounded} Start it: mcv start {name}"
