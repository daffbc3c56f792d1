"""mcv update: what a VM is like, changed; what is not named stays as it was."""

from typing import Any

import click

from mcv.commands import image_source, output
from mcv.commands.completion import images_and_files, words
from mcv.commands.options import (
    common,
    discard_saved_option,
    listed,
    only_given,
    start_options,
    start_settings,
    vm_argument,
    whole_number,
)
from mcv.commands.session import Session
from mcv.commands.vm import ask_discard

ACTIONS = "reset|poweroff|pause|dump|inject-nmi|none"
VIDEOS = "virtio|vga|qxl|cirrus|bochs|ramfb|none|default"


@click.command()
@vm_argument
@click.option("--memory", metavar="SIZE", help="Memory: 512MiB, 8GiB, 10GB.")
@click.option("--cpus", metavar="N", help="Number of CPUs.")
@click.option(
    "--iso",
    metavar="NAME|FILE|none",
    shell_complete=images_and_files,
    help="The image in its CD drive; none: no CD.",
)
@click.option(
    "--cpu-model",
    metavar="M",
    help="A processor model of libvirt's, host-model, host-passthrough, or baseline: the "
    "cluster's (mcv cluster cpu-baseline).",
)
@click.option("--boot", metavar="disk,cd,net", help="What it boots from, in this order.")
@click.option(
    "--firmware",
    metavar="bios|uefi",
    shell_complete=words("bios|uefi"),
    help="Is refused where it has the other one.",
)
@start_options
@click.option(
    "--cpu-limit", metavar="P", help="All its CPUs together, in percent of one; none: no limit."
)
@click.option(
    "--io-limit",
    metavar="iops=N,bandwidth=SIZE",
    help="For each of its disks, a second; or none. Of one disk: mcv disk set.",
)
@click.option(
    "--watchdog",
    metavar="ACTION",
    shell_complete=words(ACTIONS),
    help="When its guest does not feed it (i6300esb): reset, poweroff, pause, dump, inject-nmi; "
    "none: no watchdog.",
)
@click.option(
    "--video",
    metavar="M",
    shell_complete=words(VIDEOS),
    help="virtio, vga, qxl, cirrus, bochs, ramfb, none, or default.",
)
@click.option("--keyboard", metavar="KEYMAP", help="Of its screen: de, en-us, …; or default.")
@click.option("--clock", metavar="C", help="Its hardware clock: utc, localtime, or a time zone.")
@click.option(
    "--protect",
    metavar="yes|no",
    shell_complete=words("yes|no"),
    help="Whether it, and its disks, are not deleted.",
)
@click.option("--description", metavar="TEXT", help='At most 1000 characters; "" for none.')
@click.option(
    "--tag",
    "tags",
    metavar="TAG|-TAG",
    multiple=True,
    help="Give it a tag, to find it by (mcv list --tag TAG); -TAG takes one away. May be repeated.",
)
@discard_saved_option
@common(dry_run=True)
@click.pass_obj
def update(
    session: Session,
    /,
    name: str,
    cpus: str | None,
    iso: str | None,
    boot: str | None,
    tags: tuple[str, ...],
    autostart: str | None,
    start_order: str | None,
    start_delay: str | None,
    discard_saved: bool,
    **asked: str | None,
) -> None:
    """Change a VM; what is not named stays as it was.

    Everything that stands in the way is told at once, and then nothing was changed.

    A VM that runs has at once what can be had at once: limits; less memory, and as much again as
    it began with (its guest has to drive the balloon); more CPUs, up to twice as many as it began
    with, and at least 4; its CD, where it has a drive and its guest does not hold it shut. The
    rest it has from its next start on: the answer says so, and it is pending in: mcv info VM

    \b
    Examples:
      mcv update web1 --memory 4GiB --cpus 2
      mcv update web1 --iso debian-13
      mcv update web1 --iso none
      mcv update web1 --autostart yes --start-order 10 --start-delay 30
      mcv update web1 --cpu-limit 150 --io-limit iops=500,bandwidth=100MiB
      mcv update web1 --tag prod --tag -test --protect yes --description Shop
    """
    wanted: dict[str, Any] = {
        "name": name,
        "memory": asked.pop("memory"),
        "cpus": whole_number(cpus, "--cpus"),
        # A daemon of before is not asked about what was not named.
        **{key: value for key, value in asked.items() if value is not None},
        **start_settings(autostart, start_order, start_delay),
        **only_given(discard_saved=discard_saved),
    }
    if boot is not None:
        wanted["boot"] = listed(boot)
    if tags:
        wanted["tags"] = list(tags)
    if iso is not None:
        wanted["iso"] = "" if iso == "none" else image_source.iso(session, iso)
    if discard_saved:
        ask_discard(session, name, "vm.update", wanted)
    updated = session.run("vm.update", **wanted, dry_run=session.dry_run)
    session.show(updated, lambda: updated_text(name, updated))


def updated_text(name: str, updated: dict[str, Any]) -> str:
    """What was changed of a VM, and below it what it has from its next start on."""
    lines = [f"{name}: {updated.get('said')}."]
    if pending := updated.get("pending"):
        lines += [f"From its next start on (mcv shutdown {name} --wait, mcv start {name}):"]
        lines += [f"  {text}" for text in pending]
    return output.listed(lines)
