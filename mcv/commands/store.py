"""Where the cluster's document lies."""

from typing import Any

import click

from mcv.commands import over_ssh, user_files
from mcv.commands.completion import nodes, words
from mcv.commands.node import DEAD
from mcv.commands.options import common
from mcv.commands.session import Session
from mcv.errors import Refused

KINDS = ("etcd", "unanimous", "refresh")
ETCD = (
    "From then on a majority of the nodes makes changes and starts VMs, and a minority does "
    "neither."
)
MASKED = "Debian's own etcd.service is masked where mcv's etcd runs."
UNANIMOUS = "From then on every online node has to take part in each change."


@click.command()
@click.argument(
    "kind",
    metavar="[etcd|unanimous|refresh]",
    required=False,
    default="",
    shell_complete=words("|".join(KINDS)),
)
@click.argument("names", metavar="[N...]", nargs=-1, shell_complete=nodes)
@click.option("--witness", metavar="NAME", default="", help="A machine that votes besides.")
@click.option("--ip-address", metavar="IP", default="", help="Where the witness answers.")
@click.option("--no-witness", is_flag=True, help="Take the witness out of etcd.")
@over_ssh.password_file_option
@over_ssh.host_key_option
@click.option(
    "--confirm-dead",
    is_flag=True,
    help="N are dead for good, and etcd has no majority without them.",
)
@common(dry_run=True)
@click.pass_obj
def store(
    session: Session,
    kind: str,
    names: tuple[str, ...],
    witness: str,
    ip_address: str,
    no_witness: bool,
    password_file: str | None,
    host_key: str | None,
    confirm_dead: bool,
) -> None:
    """Show where the cluster's document lies, or move it.

    \b
    etcd       an etcd that mcv runs on each node, for three nodes and more, or for two
               and a witness: a majority makes changes, whoever of the others is dead
    unanimous  no other program: every online node takes part in each change
    refresh    bring the witness the certificates of all nodes, after one has joined, was
               removed or has another address

    All nodes have to be online for a move. Guests run on meanwhile.

    The witness is a Debian machine with etcd-server and nothing of mcv's. It is reached over
    SSH as root, with root's own key or a password, and neither is kept.

    Where most of etcd's voters are gone for good, --confirm-dead is your word that they are:
    those that are left agree unanimously without them. Go and look first.

    \b
    Examples:
      mcv cluster store
      mcv cluster store etcd
      mcv cluster store etcd --witness w1 --ip-address 192.0.2.9
      mcv cluster store etcd --no-witness
      mcv cluster store refresh
      mcv cluster store unanimous --confirm-dead n2 n3
    """
    is_ssh_given = bool(password_file or host_key)
    _require_fitting(kind, witness, ip_address, no_witness, is_ssh_given)
    _require_dead(kind, names, confirm_dead, is_ssh_given)
    if not kind:
        shown = session.call("cluster.store")
        session.show(shown, lambda: _said(shown))
    elif kind == "refresh":
        _refresh(session, password_file, host_key)
    elif confirm_dead:
        _without(session, list(names))
    elif kind == "unanimous" or no_witness:
        _leave(session, "witness" if no_witness else kind, password_file, host_key)
    elif witness:
        _to_etcd_with(session, witness, ip_address, password_file, host_key)
    else:
        session.ask("Move the document?", lambda: [*session.plan("cluster.store_etcd"), ETCD])
        moved = session.run("cluster.store_etcd", dry_run=session.dry_run)
        session.show(moved, f"The document lies in etcd. {MASKED}")


def _require_fitting(
    kind: str, witness: str, ip_address: str, no_witness: bool, is_ssh_given: bool
) -> None:
    """Raise BadParameter for words that do not go together."""
    if kind and kind not in KINDS:
        raise click.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}.", param_hint="STORE")
    if bool(witness) != bool(ip_address):
        raise click.BadParameter("--witness and --ip-address go together.")
    if witness and kind != "etcd":
        raise click.BadParameter("A witness is named with: mcv cluster store etcd --witness NAME")
    if no_witness and (witness or kind != "etcd"):
        raise click.BadParameter("It is taken out with: mcv cluster store etcd --no-witness")
    if is_ssh_given and not (witness or no_witness or kind in ("unanimous", "refresh")):
        raise click.BadParameter("No host is reached over SSH by this.")


def _require_dead(
    kind: str, names: tuple[str, ...], confirm_dead: bool, is_ssh_given: bool
) -> None:
    if names and not confirm_dead:
        raise click.BadParameter(f"{names[0]!r} is named for nothing: --confirm-dead is missing.")
    if confirm_dead and not (names and kind == "unanimous"):
        raise click.BadParameter("mcv cluster store unanimous --confirm-dead N... names the dead.")
    if confirm_dead and is_ssh_given:
        raise click.BadParameter("No host is reached over SSH by this.")


def _without(session: Session, names: list[str]) -> None:
    session.ask(
        f"Give {', '.join(names)} up?",
        lambda: [*session.plan("cluster.store_lost", names=names), UNANIMOUS, DEAD],
    )
    moved = session.run("cluster.store_lost", names=names, dry_run=session.dry_run)
    session.show(moved, f"The members agree unanimously. {moved.get('left')}")


def _to_etcd_with(
    session: Session, name: str, ip_address: str, password_file: str | None, host_key: str | None
) -> None:
    ask = over_ssh.Asking(session, "cluster.store_etcd", ip_address, password_file)
    wanted: dict[str, Any] = {"witness": name, "ip_address": ip_address}
    wanted["host_key"] = host_key or over_ssh.agreed_host_key(
        session, ip_address, "cluster.witness_key", witness=name, ip_address=ip_address
    )
    session.ask("Move the document?", lambda: [*ask.plan(**wanted), ETCD])
    moved = ask.run(**wanted, dry_run=session.dry_run)
    session.show(
        moved,
        f"The document lies in etcd, and {name} is the witness. {MASKED}",
    )


# What is left, by the word for it: the operation, the question, what follows, what is said.
LEAVING = {
    "unanimous": (
        "cluster.store_unanimous",
        "Move the document?",
        UNANIMOUS,
        "The members agree unanimously.",
    ),
    "witness": (
        "cluster.witness_remove",
        "Take the witness out?",
        "From then on the nodes alone vote.",
        "There is no witness any more.",
    ),
}


def _leave(session: Session, what: str, password_file: str | None, host_key: str | None) -> None:
    """Leave etcd, or the witness; its machine is told over SSH where that is possible."""
    operation, question, then, said = LEAVING[what]
    password = user_files.first_line(password_file) if password_file is not None else None
    given = {"password": password, "host_key": host_key or _key_of_witness(session)}
    wanted = {name: value for name, value in given.items() if value is not None}
    session.ask(question, lambda: [*session.plan(operation, **wanted), then])
    moved = session.run(operation, **wanted, dry_run=session.dry_run)
    left = f" {moved['left']}" if moved.get("left") else ""
    session.show(moved, f"{said}{left}")


def _key_of_witness(session: Session) -> str | None:
    """Its host key, once a human has said that it is right; None where it is known, or silent."""
    witness = session.call("cluster.info").get("witness")
    if not witness:
        return None
    try:
        key = session.call("cluster.witness_key")
    except Refused:
        return None  # that it is not reached is told with the plan, and holds nothing up
    return over_ssh.agreed(session, witness["ip_address"], key)


def _refresh(session: Session, password_file: str | None, host_key: str | None) -> None:
    witness = session.call("cluster.info").get("witness")
    at = witness["ip_address"] if witness else ""
    key = host_key or over_ssh.agreed_host_key(session, at, "cluster.witness_key")
    ask = over_ssh.Asking(session, "cluster.store_refresh", at, password_file)
    done = ask.run(host_key=key, dry_run=session.dry_run)
    has = "has" if done.get("changed") else "had"
    session.show(done, f"{done.get('witness')} {has} the certificates of all nodes.")


def _said(shown: dict[str, Any]) -> str:
    if shown["store"] == "unanimous":
        can = "All online members are heard." if shown["quorum"] else "Not all members are heard."
        return f"The members agree unanimously. {can}"
    lines = ["The document lies in etcd.", *map(_voter, shown["voters"])]
    if not shown["quorum"]:
        lines.append("No majority answers: nothing is changed and no VM started.")
    return "\n".join(lines)


def _voter(voter: dict[str, Any]) -> str:
    fsync = voter["fsync_ms"]
    speed = "" if fsync is None else f", its disk takes {fsync:g} ms"
    return f"  {voter['name']}: {voter['state']}{speed}"
