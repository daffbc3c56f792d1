"""The cluster's members: join one, take one out."""

import sys
from typing import Any

import click

from mcv.commands import evacuate, output, over_ssh
from mcv.commands.check import check
from mcv.commands.completion import nodes
from mcv.commands.options import common
from mcv.commands.session import Session
from mcv.commands.store import store


@click.group()
def cluster() -> None:
    """Join nodes to the cluster, take them out, check how they are."""


cluster.add_command(check)
cluster.add_command(evacuate.reboot_all)
cluster.add_command(store)


@cluster.command("add-node")
@click.option("--node", metavar="N", required=True, help="The new node's name.")
@click.option("--ip-address", metavar="IP", required=True, help="Where it answers.")
@over_ssh.password_file_option
@over_ssh.host_key_option
@common(dry_run=True)
@click.pass_obj
def add_node(
    session: Session,
    node: str,
    ip_address: str,
    password_file: str | None,
    host_key: str | None,
) -> None:
    """Join a blank node to the cluster.

    A blank node runs mcvd and has no VMs or networks. It is reached once over SSH as
    root, with root's own key or a password. All that speaks against it is told at once, and
    then nothing was changed on either side.

    \b
    Examples:
      mcv cluster add-node --node n2 --ip-address 192.0.2.2
      mcv cluster add-node --node n2 --ip-address 192.0.2.2 \\
          --password-file pw --host-key SHA256:...
    """
    ask = over_ssh.Asking(session, "cluster.add_node", ip_address, password_file)
    key = host_key or over_ssh.agreed_host_key(
        session, ip_address, "cluster.host_key", ip_address=ip_address, node=node
    )
    added = ask.run(node=node, ip_address=ip_address, host_key=key, dry_run=session.dry_run)
    if added.get("warning"):
        session.tell([added["warning"]])
    session.show(added, f"{node} ({added.get('ip_address')}) is a member now.")


@cluster.command("cpu-baseline")
@click.option("--set", "set_", is_flag=True, help="Give it to new VMs from now on.")
@common(dry_run=True)
@click.pass_obj
def cpu_baseline(session: Session, set_: bool) -> None:
    """Show the processor that all nodes can give to guests.

    A VM with it can run on, and move to, each of these nodes. VMs that are there keep the
    processor that they have.

    \b
    Examples:
      mcv cluster cpu-baseline
      mcv cluster cpu-baseline --set
    """
    wanted = {"set": True, "dry_run": session.dry_run} if set_ else {}
    answer = session.run("cluster.cpu_baseline", **wanted)
    session.show(answer, lambda: _baseline_said(answer))


def _baseline_said(answer: dict[str, Any]) -> str:
    """The baseline in words: its model, and what of it is not the model's."""
    cpu, stored = answer["cpu"], answer["stored"]
    more = "".join(
        f"\n  {policy}: {' '.join(names)}"
        for policy in ("require", "disable")
        if (names := sorted(each for each, how in cpu["features"].items() if how == policy))
    )
    what = "what new VMs get" if stored == cpu else "not what new VMs get"
    kept = f"New VMs get {stored['model']}." if stored else "New VMs get the model of their host."
    last = "" if stored == cpu else f"\n{kept} Change it with: mcv cluster cpu-baseline --set"
    return f"All nodes can do {cpu['model']}, which is {what}.{more}{last}"


@cluster.command("remove-node")
@click.option(
    "--node", metavar="N", required=True, shell_complete=nodes, help="The node that leaves."
)
@click.option("--force", is_flag=True, help="Remove a node that is declared offline.")
@common(dry_run=True)
@click.pass_obj
def remove_node(session: Session, node: str, force: bool) -> None:
    """Take a node out of the cluster; it becomes blank.

    Refused while it owns VMs or holds a replica. VMs whose home it was have their owner as home
    from then on; its bridges in networks and its devices in VMs are forgotten.
    """
    session.ask(
        f"Remove {node} from the cluster?",
        lambda: session.plan("cluster.remove_node", node=node, force=force),
    )
    removed = session.run("cluster.remove_node", node=node, force=force, dry_run=session.dry_run)
    session.show(removed, f"{node} is no member any more.")


@cluster.command(hidden=True)
@click.option("--reach", metavar="IP:PORT", multiple=True, help="Try a connection to it.")
@common(changes=False)
@click.pass_obj
def facts(session: Session, reach: tuple[str, ...]) -> None:
    """Tell everything that must be known of this host before it joins a cluster (JSON)."""
    wanted: dict[str, Any] = {"reach": list(reach)} if reach else {}
    session.say(output.as_json(session.call("cluster.facts", **wanted)))


@cluster.command("stage-join", hidden=True)
@common()
@click.pass_obj
def stage_join(session: Session) -> None:
    """Get ready to be taken into the cluster that stdin tells of, for ten minutes (JSON)."""
    answer = session.run("cluster.stage_join", document=sys.stdin.read())
    session.say(output.as_json(answer))


@cluster.command("unstage-join", hidden=True)
@click.argument("operation")
@common()
@click.pass_obj
def unstage_join(session: Session, operation: str) -> None:
    """Forget a join that failed (JSON)."""
    answer = session.run("cluster.unstage_join", operation=operation)
    session.say(output.as_json(answer))


@cluster.command()
@common(dry_run=True)
@click.pass_obj
def leave(session: Session) -> None:
    """Make a node blank that was removed while it was away.

    To be given on that node. Domains are undefined and resources taken down; volumes with data
    stay, and are named.
    """
    session.ask(
        "Make this node blank?",
        lambda: session.plan("cluster.leave"),
    )
    left = session.run("cluster.leave", dry_run=session.dry_run)
    kept = left.get("kept", [])
    stay = f" Volumes that stay: {', '.join(kept)}." if kept else ""
    session.show(left, f"{left.get('node')} is blank.{stay}")


@cluster.command()
@click.option(
    "--from",
    "node",
    metavar="NODE",
    shell_complete=nodes,
    required=True,
    help="Whose document goes on.",
)
@common(dry_run=True)
@click.pass_obj
def sync(session: Session, node: str) -> None:
    """End a divergence by taking the document of one node.

    The others are given up. What would be lost is shown first. Nothing is merged; all versions
    stay in the histories.
    """
    session.ask(
        f"Take the document of {node} and give the others up?",
        lambda: session.plan("cluster.sync", node=node),
    )
    done = session.run("cluster.sync", node=node, dry_run=session.dry_run)
    session.show(done, f"The document of {node} goes on.")
