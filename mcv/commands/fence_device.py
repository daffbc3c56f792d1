"""mcv fence device: what switches the power of hosts, and what it is reached with."""

import re
from typing import Any

import click

from mcv.commands import output, user_files
from mcv.commands.options import common
from mcv.commands.session import Session
from mcv.errors import Refused, refuse_all

KEYED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)=(.+)", re.DOTALL)
PASSWORD = "password"
WHOLE = ("identity_file", "key_file")  # keys, which have lines

secret_option = click.option(
    "--secret-file",
    "secret_files",
    metavar="[KEY=]F",
    multiple=True,
    help="F's first line is the parameter KEY, password where none is named; a key_file or an "
    "identity_file is F whole. It lies on every node for root alone, and nowhere else.",
)


@click.group()
def device() -> None:
    """Fence devices: BMCs, power strips, hypervisors that switch hosts."""


@device.command()
@click.argument("name", metavar="D")
@click.option("--agent", required=True, metavar="A", help="The fence agent, fence_ipmilan say.")
@click.argument("parameters", metavar="KEY=VALUE...", nargs=-1)
@secret_option
@common(dry_run=True)
@click.pass_obj
def add(
    session: Session,
    name: str,
    agent: str,
    parameters: tuple[str, ...],
    secret_files: tuple[str, ...],
) -> None:
    """Add a fence device.

    KEY=VALUE are parameters of the agent: man fence_ipmilan. Its metadata are looked at on every
    node, and each node asks the device whether it is well. Passwords and keys come from files.

    \b
    Examples:
      mcv fence device add bmc2 --agent fence_ipmilan ip=10.0.9.2 username=root \\
          lanplus=1 --secret-file bmc2.pw
      mcv fence device add pdu1 --agent fence_apc_snmp ip=10.0.9.9 \\
          --secret-file community=pdu1.community
    """
    answer = session.run(
        "fence.add_device",
        name=name,
        agent=agent,
        parameters=_values(parameters),
        secrets=_secrets(secret_files),
        dry_run=session.dry_run,
    )
    session.show(answer, lambda: _told(answer, "added"))


@device.command("set")
@click.argument("name", metavar="D")
@click.argument("parameters", metavar="KEY=VALUE...", nargs=-1)
@secret_option
@common(dry_run=True)
@click.pass_obj
def set_(
    session: Session, name: str, parameters: tuple[str, ...], secret_files: tuple[str, ...]
) -> None:
    """Change a fence device; what is not named stays, and KEY= takes a parameter away.

    Its plugs are to be tested anew, unless only passwords or keys change.
    """
    if not parameters and not secret_files:
        raise click.UsageError("There is nothing to change: KEY=VALUE or --secret-file.")
    answer = session.run(
        "fence.set_device",
        name=name,
        parameters=_values(parameters),
        secrets=_secrets(secret_files),
        dry_run=session.dry_run,
    )
    session.show(answer, lambda: _told(answer, "changed"))


def _values(parameters: tuple[str, ...]) -> dict[str, str]:
    wrong = [text for text in parameters if "=" not in text]
    if wrong:
        raise click.UsageError(f"{wrong[0]!r} is not KEY=VALUE.")
    return {key: value for key, _, value in (text.partition("=") for text in parameters)}


def _secrets(files: tuple[str, ...]) -> dict[str, str]:
    """Each secret from its file; Refused with every file that cannot be read."""
    found: dict[str, str] = {}
    given: set[str] = set()
    problems = []
    for text in files:
        keyed = KEYED.fullmatch(text)
        key, path = keyed.groups() if keyed else (PASSWORD, text)
        if key in given:
            problems.append(Refused(f"{key} is given twice by --secret-file."))
        given.add(key)
        try:
            found[key] = user_files.text(path) if key in WHOLE else user_files.first_line(path)
        except Refused as problem:
            problems.append(problem)
    refuse_all(problems)
    return found


def _told(answer: dict[str, Any], done: str) -> str:
    lines = [f"The fence device {answer['name']} is {done}."]
    lines += [f"! {node} cannot ask it: {why}" for node, why in answer["unreached"].items()]
    if not answer["nodes"]:
        lines.append(f"Next: mcv fence set NODE --level 1 {answer['name']}[:PORT]")
    return output.listed(lines)


@device.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List fence devices; whether they answer is from each node's last look, without secrets."""
    devices = session.call("fence.devices")
    session.show(devices, lambda: _listed(devices))


def _listed(devices: list[dict[str, Any]]) -> str:
    if not devices:
        return "There is no fence device. mcv fence device add --help"
    rows = [
        (
            device["name"],
            device["agent"],
            " ".join(f"{key}={value}" for key, value in sorted(device["parameters"].items())),
            ", ".join(device["nodes"]) or "-",
            {True: "yes", False: "no", None: "not known yet"}[device["ok"]],
        )
        for device in devices
    ]
    lines = [output.table(rows, ("device", "agent", "parameters", "nodes", "answers"))]
    for device in devices:
        for node, why in sorted(device["unreached"].items()):
            lines.append(output.listed([f"! {device['name']}: {node} cannot ask it: {why}"]))
    return "\n".join(lines)


@device.command()
@click.argument("name", metavar="D")
@common()
@click.pass_obj
def remove(session: Session, name: str) -> None:
    """Remove a fence device that no node hangs on; its secrets go from every node."""
    answer = session.run("fence.remove_device", name=name)
    session.show(answer, f"The fence device {name} is removed.")
