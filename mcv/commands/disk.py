"""Disks of VMs: listed, added, taken away, grown, changed."""

from typing import Any

import click

from mcv.commands import image_source, output
from mcv.commands.completion import KINDS, images_and_files, nodes, pools, several, words
from mcv.commands.options import common, listed, vm_argument, whole_number
from mcv.commands.session import Session

HEADINGS = (*("disk", "target", "size", "storage", "pool", "bus", "cache", "limits", "places", ""),)


@click.group()
def disk() -> None:
    """Manage the disks of a VM, also while it runs."""


@disk.command("list")
@vm_argument
@common(changes=False)
@click.pass_obj
def list_(session: Session, name: str) -> None:
    """List the disks of a VM."""
    found = session.call("disk.list", name=name)
    rows = [_row(each) for each in found]
    session.show(found, lambda: output.table(rows, HEADINGS) if rows else f"{name} has no disk.")


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    return (
        each["id"],
        each["target"],
        output.size(each["size"]),
        each["storage"],
        each["pool"],
        each["bus"],
        each["cache"],
        _limits(each),
        "  ".join(f"{node}: {place}" for node, place in sorted(each["places"].items())),
        "leaving" if each["leaving"] else None,
    )


def _limits(each: dict[str, Any]) -> str | None:
    """What a disk is held down to, in words."""
    words = [f"{each['iops']} iops"] if each["iops"] else []
    words += [f"{output.size(each['bandwidth'])}/s"] if each["bandwidth"] else []
    return ", ".join(words) or None


@disk.command()
@vm_argument
@click.argument("size", metavar="SIZE", required=False)
@click.option(
    "--storage",
    metavar="KIND",
    shell_complete=words(KINDS),
    help="drbd, lvm, thin, file or shared.",
)
@click.option(
    "--pool", metavar="P", shell_complete=pools, help="Where it lies; see: mcv pool list."
)
@click.option(
    "--bus",
    metavar="BUS",
    shell_complete=words("virtio|scsi|sata|ide"),
    help="virtio (the default), scsi, sata or ide.",
)
@click.option(
    "--image",
    metavar="NAME|FILE",
    shell_complete=images_and_files,
    help="Fill it from an image, or from a FILE.",
)
@click.option(
    "--image-format",
    type=click.Choice(["raw", "qcow2"]),
    help="What --image is: raw, for a disk that only looks like another format (LUKS).",
)
@click.option("--volume", metavar="V", help="Take back a volume that was kept, with its bytes.")
@click.option("--cache", metavar="MODE", help="none (the default), writeback, and so on.")
@click.option(
    "--nodes",
    "replicas",
    metavar="A,B",
    shell_complete=several(nodes),
    help="The two nodes that hold its replicas.",
)
@common(dry_run=True)
@click.pass_obj
def add(
    session: Session,
    /,
    name: str,
    size: str | None,
    image: str | None,
    image_format: str | None,
    replicas: str | None,
    **asked: str | None,
) -> None:
    """Give a VM another disk, of any kind.

    A VM that runs has it at once, where its bus can.

    SIZE may be left out with --image, whose size counts then, and with --volume.

    \b
    Examples:
      mcv disk add web1 20GiB
      mcv disk add web1 20GiB --storage file --bus scsi
      mcv disk add web1 --storage lvm --volume mcv-db1-2
    """
    if image_format is not None and image is None:
        raise click.UsageError("--image-format goes with --image.")
    wanted: dict[str, Any] = {"name": name, "size": size, **asked, "nodes": listed(replicas)}
    wanted["dry_run"] = session.dry_run
    taken = image_source.image(session, image, image_format) if image is not None else None
    added = session.run("disk.add", **wanted, image=taken)
    session.show(added, _added(added))


def _added(added: dict[str, Any]) -> str:
    attached = " The guest has it now." if added.get("attached") else ""
    return (
        f"{added.get('name')} has disk {added.get('disk')} ({added.get('target')}), "
        f"{output.size(added.get('size'))}.{attached}"
    )


@disk.command()
@vm_argument
@click.argument("number", metavar="ID")
@click.option("--keep", is_flag=True, help="Leave its volume where it is.")
@common(dry_run=True)
@click.pass_obj
def remove(session: Session, name: str, number: str, keep: bool) -> None:
    """Take a disk from a VM, with all that is on it.

    A guest that does not let go of the disk keeps it until it stops; the volume goes then.

    \b
    Examples:
      mcv disk remove web1 2
      mcv disk remove web1 2 --keep --yes
    """
    wanted = {"name": name, "disk": whole_number(number, "The disk"), "keep": keep}
    what = "and keep its volume" if keep else "with all that is on it"
    session.ask(
        f"Take disk {number} from {name}, {what}?", lambda: session.plan("disk.remove", **wanted)
    )
    answer = session.run("disk.remove", **wanted, dry_run=session.dry_run)
    kept = f" Its volume stays: {', '.join(answer.get('kept') or ())}." if keep else ""
    session.show(answer, f"{name} has no disk {number} any more.{kept}")


@disk.command()
@vm_argument
@click.argument("number", metavar="ID")
@click.argument("size", metavar="SIZE")
@common(dry_run=True)
@click.pass_obj
def grow(session: Session, name: str, number: str, size: str) -> None:
    """Make a disk larger, on each of its nodes.

    A guest that runs is told. A disk does not shrink.

    \b
    Example:
      mcv disk grow web1 1 40GiB
    """
    wanted = {"name": name, "disk": whole_number(number, "The disk"), "size": size}
    answer = session.run("disk.grow", **wanted, dry_run=session.dry_run)
    session.show(answer, f"Disk {number} of {name} has {output.size(answer.get('size'))} now.")


@disk.command("set")
@vm_argument
@click.argument("number", metavar="ID")
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
@common(dry_run=True)
@click.pass_obj
def set_(session: Session, name: str, number: str, settings: tuple[str, ...]) -> None:
    """Change how a guest reaches a disk.

    \b
    Keys:
      bus        virtio, scsi, sata or ide; while the VM is stopped
      cache      none, directsync, writethrough, writeback or unsafe; from the next start on
      discard    yes or no: whether the guest gives room back; from the next start on
      iops       operations a second, at once; 0: no limit
      bandwidth  bytes a second, at once; 0: no limit

    \b
    Example:
      mcv disk set web1 1 iops=500 bandwidth=100MiB
    """
    wrong = [text for text in settings if "=" not in text]
    if wrong:
        raise click.UsageError(f"{wrong[0]!r} is not KEY=VALUE.")
    values = {key: value for key, _, value in (text.partition("=") for text in settings)}
    wanted = {"name": name, "disk": whole_number(number, "The disk"), "values": values}
    answer = session.run("disk.set", **wanted, dry_run=session.dry_run)
    pending = answer.get("pending") or []
    session.show(answer, f"Disk {number} of {name}: {_set(answer.get('said') or '', pending)}")


def _set(said: str, pending: list[str]) -> str:
    """What counts at once, and what from the next start on; nothing twice."""
    at_once = [words for words in said.split(", ") if words not in pending]
    later = f"from the next start on: {', '.join(pending)}" if pending else ""
    return f"{'; '.join(filter(None, [', '.join(at_once), later]))}."


@disk.command()
@vm_argument
@click.argument("number", metavar="ID")
@click.option(
    "--pool", metavar="P", shell_complete=pools, help="The pool to move it to; see: mcv pool list."
)
@click.option(
    "--storage",
    metavar="KIND",
    shell_complete=words(KINDS),
    help="drbd, lvm, thin, file or shared.",
)
@click.option(
    "--nodes",
    metavar="A,B",
    shell_complete=several(nodes),
    help="With --storage drbd: the nodes of the replicas.",
)
@click.option(
    "--from", "source", metavar="N", shell_complete=nodes, help="The node that a replica leaves."
)
@click.option("--to", metavar="N", shell_complete=nodes, help="With --from: the node that gets it.")
@common(dry_run=True)
@click.pass_obj
def move(
    session: Session,
    name: str,
    number: str,
    pool: str | None,
    storage: str | None,
    nodes: str | None,
    source: str | None,
    to: str | None,
) -> None:
    """Move a disk to another pool or kind of storage.

    A stopped VM's disk is copied and compared; a copy that is cut off is resumed. While the VM
    runs QEMU mirrors the disk, and the guest stands still for a moment at the end. The old disk
    goes last; with DRBD it goes when the other replica has every byte.

    With --from and --to a replica goes to another node while the VM runs, also from a node that
    is offline. The old replica goes when the new one is UpToDate and verified; until then the
    one on the VM's own node is the only one that counts.

    \b
    Examples:
      mcv disk move web1 1 --pool fast
      mcv disk move web1 1 --storage drbd --nodes n1,n2
      mcv disk move web1 1 --from n2 --to n3
    """
    wanted: dict[str, Any] = {"name": name, "disk": whole_number(number, "ID")}
    if (source or to) and (storage or nodes):
        raise click.UsageError("--from and --to go without --storage and --nodes.")
    wanted |= {"pool": pool, "storage": storage, "nodes": listed(nodes)}
    wanted |= {key: node for key, node in (("source", source), ("to", to)) if node}
    moved = session.run("disk.move", **wanted, dry_run=session.dry_run)
    where = f"{moved.get('storage')}, pool {moved.get('pool')}"
    session.show(moved, f"Disk {number} of {name} is moved ({where}).")
