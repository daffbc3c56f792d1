"""What differs from what should be, and mending what is safe to mend."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.options import common
from mcv.commands.session import Session

SEVERITIES = ("error", "warning", "note")
FOUND_WRONG = 5


@click.command()
@click.option("--fix", is_flag=True, help="Mend what is safe to mend, after showing it.")
@common(dry_run=True)
@click.pass_obj
def check(session: Session, fix: bool) -> None:
    """Compare what should be with what is, on every node.

    Documents, certificates, clocks, bridges, volumes, DRBD and domains; with each finding
    comes what helps. An error is what a VM, a start or a change will stumble on; a warning
    costs room or order. Exit code 5 where there is an error.

    --fix mends what is safe, and nothing that it has not shown: missing definitions,
    resource files and resources of VMs; what is left over and belongs to no VM. It never
    touches the data of a VM, nor a volume without mcv's tag.

    \b
    Examples:
      mcv cluster check
      mcv cluster check --fix
    """
    found = session.call("cluster.check")
    fixes = [finding["fix"] for finding in found["findings"] if finding.get("fix")]
    if fix and session.dry_run:
        plan = [str(fix["text"]) for fix in fixes]
        session.show({"dry_run": True, "plan": plan}, "")
        return
    if fix and fixes:
        found = _mend(session, fixes)
    elif fix:
        found = {**found, "fixed": []}
    session.show(found, lambda: text(found))
    if not found["ok"]:
        raise click.exceptions.Exit(FOUND_WRONG)


def _mend(session: Session, fixes: list[dict[str, Any]]) -> dict[str, Any]:
    """Show what would be mended, ask, and have just that mended."""
    session.ask("Do all this?", lambda: [f"  {fix['text']}" for fix in fixes])
    wanted = [{key: fix[key] for key in ("node", "deed", "subject")} for fix in fixes]
    answer: dict[str, Any] = session.run("cluster.fix", fixes=wanted)
    return answer


def text(found: dict[str, Any]) -> str:
    """The findings for human eyes: what was mended, then by severity, each with its hint."""
    parts = []
    if found.get("fixed"):
        parts.append(output.listed(["mended:", *map(_mended, found["fixed"])]))
    for severity in SEVERITIES:
        of_it = [finding for finding in found["findings"] if finding["severity"] == severity]
        lines = [line for finding in of_it for line in _lines(finding)]
        if lines:
            parts.append(output.listed([f"{severity}s:", *lines]))
    if all(finding["severity"] == "note" for finding in found["findings"]):
        parts.append("All is well.")
    return "\n\n".join(parts)


def _mended(fix: dict[str, Any]) -> str:
    return f"  {fix['text']}: {'done' if fix['done'] else 'left as it is: ' + fix['message']}"


def _lines(finding: dict[str, Any]) -> list[str]:
    hint = [f"      {finding['hint']}"] if finding["hint"] else []
    return [f"  {finding['node']}: {finding['message']}", *hint]
