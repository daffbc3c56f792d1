"""Network cards of VMs: listed, added, changed, taken away."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import networks, words
from mcv.commands.options import common, vm_argument, whole_number
from mcv.commands.session import Session

HEADINGS = ("network", "mac", "model", "vlan", "link", "addresses", "from")

network_option = click.option(
    "--network", metavar="N", help="See: mcv network list.", shell_complete=networks
)
model_option = click.option("--model", metavar="M", help="virtio (the default), e1000, rtl8139 …")
vlan_option = click.option("--vlan", metavar="TAG", help="1 to 4094, 0 for the network's own.")
link_option = click.option(
    "--link", metavar="up|down", shell_complete=words("up|down"), help="Whether its cable is in."
)


@click.group()
def nic() -> None:
    """Manage the network cards of a VM, also while it runs."""


@nic.command("list")
@vm_argument
@common(changes=False)
@click.pass_obj
def list_(session: Session, name: str) -> None:
    """List the cards of a VM, and the addresses that its guest has.

    They are told by the guest's agent, by the leases of a network by NAT, or by what the host
    has seen of the guest (arp).
    """
    found = session.call("nic.list", name=name)
    rows = [row(each) for each in found]
    session.show(found, lambda: output.table(rows, HEADINGS) if rows else f"{name} has no card.")


def row(card: dict[str, Any]) -> tuple[Any, ...]:
    """A card in a table."""
    return (
        card["network"],
        card["mac"],
        card["model"],
        card["vlan"] or None,
        card["link"],
        ", ".join(card["addresses"]) or None,
        card["source"] or None,
    )


@nic.command()
@vm_argument
@network_option
@click.option("--mac", metavar="MAC", help="Its address; usual: a new one.")
@model_option
@vlan_option
@link_option
@common(dry_run=True)
@click.pass_obj
def add(
    session: Session, /, name: str, network: str | None, vlan: str | None, **asked: str | None
) -> None:
    """Give a VM another network card; a VM that runs has it at once.

    \b
    Examples:
      mcv nic add web1 --network lan
      mcv nic add web1 --network lan --vlan 7 --model e1000
    """
    if network is None:
        raise click.UsageError("Say which network: --network N.")
    wanted: dict[str, Any] = {"name": name, "network": network, **asked}
    wanted["vlan"] = whole_number(vlan, "--vlan")
    added = session.run("nic.add", **wanted, dry_run=session.dry_run)
    attached = " The guest has it now." if added.get("active") else ""
    session.show(added, f"{name} has the card {added.get('mac')} in {network}.{attached}")


@nic.command("set")
@vm_argument
@click.argument("card", metavar="MAC|NETWORK")
@network_option
@model_option
@vlan_option
@link_option
@common(dry_run=True)
@click.pass_obj
def set_(session: Session, /, name: str, card: str, vlan: str | None, **asked: str | None) -> None:
    """Change a card.

    Network, VLAN and link count at once, the model, and the MTU of another
    network, from the next start on.
    A card is named by its MAC, or by its network where the VM has no other card in it.

    \b
    Examples:
      mcv nic set web1 lan --link down
      mcv nic set web1 52:54:00:12:34:56 --network dmz
    """
    wanted: dict[str, Any] = {"name": name, "nic": card, **asked}
    wanted["vlan"] = whole_number(vlan, "--vlan")
    answer = session.run("nic.set", **wanted, dry_run=session.dry_run)
    pending = ", ".join(answer.get("pending") or [])
    later = f" From the next start on: {pending}." if pending else ""
    session.show(answer, f"The card {answer.get('mac')} of {name} is changed.{later}")


@nic.command()
@vm_argument
@click.argument("card", metavar="MAC|NETWORK")
@common(dry_run=True)
@click.pass_obj
def remove(session: Session, name: str, card: str) -> None:
    """Remove a card from a VM.

    A guest that does not let go of the card keeps it until it stops. It is
    asked again where the card is named by its MAC.

    \b
    Example:
      mcv nic remove web1 52:54:00:12:34:56
    """
    answer = session.run("nic.remove", name=name, nic=card, dry_run=session.dry_run)
    session.show(answer, f"{name} has no card {answer.get('mac')} any more.")
