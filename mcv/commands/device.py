"""USB and PCI devices of hosts: given to VMs, taken from them, listed."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import nodes, vms, words
from mcv.commands.options import common, vm_argument
from mcv.commands.session import Session

HEADINGS = ("type", "address", "node", "name", "")
OF_NODE = ("type", "address", "product", "name", "driver", "group", "used by the host", "vm")


@click.group()
def device() -> None:
    """Give a VM USB and PCI devices of its host.

    A VM with a device of its host cannot leave it: no migration, no drain, no takeover, until
    the device is removed.
    """


type_argument = click.argument("type", metavar="usb|pci", shell_complete=words("usb|pci"))
address_argument = click.argument("address", metavar="ADDRESS")


@device.command()
@vm_argument
@type_argument
@address_argument
@common(dry_run=True)
@click.pass_obj
def add(session: Session, name: str, type: str, address: str) -> None:
    """Give a VM a device of the node that owns it.

    ADDRESS of a USB device is vendor:product, or bus.device, which changes when it is plugged
    in anew; of a PCI device 0000:00:02.0. A guest that runs has a USB device at once, a PCI
    device from its next start on.

    \b
    Examples:
      mcv device list --node n1
      mcv device add web1 usb 1d6b:0002
      mcv device add web1 pci 0000:03:00.0
    """
    wanted = {"name": name, "type": type, "address": address}
    answer = session.run("device.add", **wanted, dry_run=session.dry_run)
    later = " from its next start on" if answer.get("active") else ""
    words = [f"{name} has {_words(answer)}{later}, and cannot leave {answer.get('node')}."]
    session.show(answer, " ".join([*words, answer.get("caution") or ""]).strip())


@device.command()
@vm_argument
@type_argument
@address_argument
@common(dry_run=True)
@click.pass_obj
def remove(session: Session, name: str, type: str, address: str) -> None:
    """Take a device of its host from a VM.

    A guest that runs loses a USB device at once, and has a PCI device until it stops. Where the
    VM's node is offline the device is struck off, and the VM can be taken over.

    \b
    Example:
      mcv device remove web1 usb 1d6b:0002
    """
    wanted = {"name": name, "type": type, "address": address}
    answer = session.run("device.remove", **wanted, dry_run=session.dry_run)
    later = "; its guest has it until it stops" if answer.get("active") else ""
    session.show(answer, f"{name} does not have {_words(answer)} any more{later}.")


def _words(answer: dict[str, Any]) -> str:
    return f"the {str(answer.get('type')).upper()} device {answer.get('address')}"


@device.command("list")
@click.argument("name", metavar="[VM]", required=False, shell_complete=vms)
@click.option("--node", metavar="N", shell_complete=nodes, help="The devices that a node has now.")
@common(changes=False)
@click.pass_obj
def list_(session: Session, name: str | None, node: str | None) -> None:
    """List the devices of a VM, or those that a node has.

    \b
    Examples:
      mcv device list web1
      mcv device list --node n1 --json
    """
    if (name is None) == (node is None):
        raise click.UsageError("Name a VM, or a node with --node.")
    if node is not None:
        found = session.call("node.devices", node=node)
        rows = [_of_node(each) for each in found]
        nothing = f"{node} has no device that a VM could have."
        session.show(found, lambda: output.table(rows, OF_NODE) if rows else nothing)
        return
    found = session.call("device.list", name=name)
    seen = [_of_vm(each) for each in found]
    nothing = f"{name} has no device of a host."
    session.show(found, lambda: output.table(seen, HEADINGS) if seen else nothing)


def _of_vm(each: dict[str, Any]) -> tuple[Any, ...]:
    return (*(each[key] for key in ("type", "address", "node", "name")), each["problem"])


def _of_node(each: dict[str, Any]) -> tuple[Any, ...]:
    keys = ("type", "address", "product", "name", "driver", "group", "used", "vm")
    return tuple(each[key] for key in keys)
