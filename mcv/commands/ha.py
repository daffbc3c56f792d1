"""High availability: arm and disarm the nodes, see their leases, set what is done."""

from typing import Any

import click

from mcv.commands import ha_drill, ha_managed, ha_places, ha_service, ha_what_if, output
from mcv.commands.options import common, whole_number
from mcv.commands.session import Session

RISK = (
    "Until the cluster is armed again no host is reset, and no guest of a dead host is taken over "
    "by its lease."
)


@click.group()
def ha() -> None:
    """Arm the nodes; say what goes on after a failure.

    On an armed cluster a node runs guests as long as it can renew its lease in etcd. One that is
    cut off ends its guests, or its watchdog resets it: then another node may run them.
    """


for command in (
    ha_drill.test,
    *ha_managed.COMMANDS,
    *ha_places.COMMANDS,
    ha_what_if.what_if,
    ha_service.service,
):
    ha.add_command(command)


@ha.command()
@click.option(
    "--pace",
    metavar="N",
    help="1 to 10: all periods are N times as long, for slow disks; at first 1.",
)
@click.option(
    "--trust-softdog",
    is_flag=True,
    help="Take softdog, or a watchdog of a virtual machine, for a watchdog with hardware.",
)
@common(dry_run=True)
@click.pass_obj
def arm(session: Session, pace: str | None, trust_softdog: bool) -> None:
    """Give every node a lease and a watchdog.

    On two nodes without a witness there are none: their fence devices are armed, which were tested.

    Says first everything that is missing, and changes nothing then. Guests run on meanwhile. On
    an armed cluster --pace changes the pace.

    \b
    Examples:
      mcv ha arm --dry-run
      mcv ha arm
    """
    answer = session.run(
        "ha.arm",
        pace=whole_number(pace, "--pace"),
        trust_softdog=trust_softdog,
        dry_run=session.dry_run,
    )
    session.show(answer, lambda: _armed(answer))


def _armed(answer: dict[str, Any]) -> str:
    if answer["wait"] is None:
        lines = ["Two nodes are armed: one that is silent is switched off by its fence device."]
        return output.listed([*lines, *answer.get("warnings", [])])
    lines = [
        f"The cluster is armed at pace {answer['pace']}: guests of a node that is gone may run "
        f"elsewhere after {answer['wait']} s."
    ]
    lines += [
        f"The other replica of {disk} is behind, and takes over nothing."
        for disk in answer["marked"]
    ]
    for node, names in sorted(answer["foreign"].items()):
        lines.append(f"{node} also runs {', '.join(names)}: a reset takes them along.")
    return output.listed(lines)


@ha.command()
@common(dry_run=True)
@click.pass_obj
def disarm(session: Session) -> None:
    """Take every node's lease back.

    Guests run on, watchdogs are ended, no host is reset: for work on the network, which would cut
    nodes off. Nothing is taken over by a lease until the cluster is armed again.
    """
    session.ask("Disarm the cluster?", lambda: [*session.plan("ha.disarm"), RISK])
    answer = session.run("ha.disarm", dry_run=session.dry_run)
    session.show(answer, "The cluster is disarmed.")


@ha.command()
@common(changes=False)
@click.pass_obj
def status(session: Session) -> None:
    """Show each node's lease and watchdog, and what is not well."""
    shown = session.call("ha.status")
    session.show(shown, lambda: _status(shown))


def _status(shown: dict[str, Any]) -> str:
    rows = [_row(node) for node in shown["nodes"]]
    headings = ("node", "state", "lease", "watchdog", "evidence", "since")
    lines = [_summary(shown), "", output.table(rows, headings)]
    if shown["attention"]:
        lines += ["", output.listed(f"! {line}" for line in shown["attention"])]
    return "\n".join(lines)


def _summary(shown: dict[str, Any]) -> str:
    if not shown["armed"]:
        return "Not armed: no host is reset, and nothing is taken over by a lease. mcv ha arm"
    lone = "" if shown["quorum"] else " NOT IN CONTACT: nothing is changed or started."
    quorum = "" if shown["quorum"] else " NO QUORUM: no lease is renewed."
    if shown["wait"] is None:
        return f"Armed by fence devices alone, at pace {shown['pace']}: no leases.{lone}"
    after = f"a lease that does not move may be taken after {shown['wait']} s"
    return f"Armed at pace {shown['pace']}: {after}.{quorum}"


def _row(node: dict[str, Any]) -> tuple[Any, ...]:
    watchdog, left = node["watchdog"], node["lease_left"]
    lease = "-" if left is None else "ended" if not left else f"{left:.0f} s left"
    words = "-"
    if watchdog is not None:
        proves = "" if watchdog["proves"] else ", proves nothing"
        words = f"{watchdog['kind']}, {watchdog['timeout']} s{proves}"
    return (
        node["node"],
        node["state"],
        lease,
        words,
        node["evidence"] or "-",
        node["since"] or "-",
    )


@ha.command()
@click.argument("settings", metavar="[KEY=VALUE...]", nargs=-1)
@common()
@click.pass_obj
def settings(session: Session, settings: tuple[str, ...]) -> None:
    """Show the settings, or change them.

    \b
    Keys:
      on-lost-lease     stop or reset: what a host does that has lost its lease. stop, the
                        default: it ends its guests and stays up
      on-stop-failure   attention or fence: a service that cannot be stopped
      on-fence-failure  wait or continue: no fence device answers
      after-fence       on or off: whether a fenced host is switched on again
      on-shutdown       migrate, failover, freeze or conditional: what a host that goes down does
                        with what it runs. conditional, the default: a reboot freezes, and a
                        power-off fails over
      fence-trust       at-once or after-lease: when a fenced host counts as dead
      start-grace       seconds that nodes have to appear after a start
      notify            who is told: mail addresses and programs, with commas between

    All but on-lost-lease are about what is managed (mcv ha add).

    \b
    Example:
      mcv ha settings on-lost-lease=reset
    """
    wrong = [text for text in settings if "=" not in text]
    if wrong:
        raise click.UsageError(f"{wrong[0]!r} is not KEY=VALUE.")
    values = {key: value for key, _, value in (text.partition("=") for text in settings)}
    answer = session.run("ha.set", values=values) if values else session.call("ha.settings")
    session.show(answer, lambda: output.fields({**answer, "notify": ", ".join(answer["notify"])}))
