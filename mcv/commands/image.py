"""Images: what disks are filled from, and CDs."""

from typing import Any

import click

from mcv import sizes
from mcv.commands import output, user_files
from mcv.commands.completion import files, images, nodes, words
from mcv.commands.options import common
from mcv.commands.session import Session

URL = ("http://", "https://")

on_option = click.option(
    "--on", metavar="N", multiple=True, shell_complete=nodes, help="Copy it there; may be repeated."
)


@click.group()
def image() -> None:
    """Keep images of disks and CDs, on each node once."""


@image.command()
@click.argument("name", metavar="NAME")
@click.argument("source", metavar="FILE|URL", shell_complete=files)
@click.option(
    "--sha256",
    metavar="H",
    help="What the sha256 of the file is, as it is given: before it is unpacked.",
)
@click.option(
    "--kind",
    metavar="disk|iso",
    shell_complete=words("disk|iso"),
    help="What it is; default: what it looks like.",
)
@click.option(
    "--image-format",
    "format_",
    type=click.Choice(["raw", "qcow2"]),
    help="What the file is: raw, for a disk that only looks like another format (LUKS).",
)
@on_option
@click.option(
    "--allow-private",
    is_flag=True,
    help="Fetch a URL also from this host and from nodes of the cluster.",
)
@common(dry_run=True)
@click.pass_obj
def add(
    session: Session,
    name: str,
    source: str,
    sha256: str | None,
    kind: str | None,
    format_: str | None,
    on: tuple[str, ...],
    allow_private: bool,
) -> None:
    """Make an image of a FILE or a URL.

    It holds a disk (raw, qcow2) or a CD; a URL begins with http:// or https://. What is
    compressed (gz, xz, zst) is unpacked. This node makes a copy of its own and judges it; a URL
    is fetched by this node. Only what is whole and names no other file is taken.
    --sha256 is compared with the bytes as they are given, which the list (--json) tells as
    "given"; its "sha256" is that of the file which is kept, the same on each node.

    \b
    Examples:
      mcv image add debian debian-12-generic-amd64.qcow2
      mcv image add netinst https://images.example/netinst.iso --kind iso --on n2
    """
    wanted: dict[str, Any] = {
        "name": name,
        "sha256": sha256.lower() if sha256 else sha256,
        "kind": kind,
        "format": format_,
        "on": list(on),
        "allow_private": allow_private,
        "dry_run": session.dry_run,
    }
    if source.lower().startswith(URL):
        answer = session.run("image.add", **wanted, url=source)
    else:
        # The daemon opens the file by way of this process, so it stays open until then.
        with user_files.opened(source) as fd:
            answer = session.run("image.add", **wanted, fd=fd)
    session.show(answer, f"{name} is an image. See: mcv image list")


@image.command()
@click.argument("name", metavar="NAME", shell_complete=images)
@on_option
@common(dry_run=True)
@click.pass_obj
def sync(session: Session, name: str, on: tuple[str, ...]) -> None:
    """Copy an image to more nodes.

    What an earlier copy that was cut off has brought is kept, and compared.
    """
    answer = session.run("image.sync", name=name, on=list(on), dry_run=session.dry_run)
    session.show(answer, f"{name} is on {', '.join(on)}.")


@image.command()
@click.argument("name", metavar="NAME", shell_complete=images)
@click.option(
    "--on", "node", metavar="N", required=True, shell_complete=nodes, help="The node to free of it."
)
@common(dry_run=True)
@click.pass_obj
def drop(session: Session, name: str, node: str) -> None:
    """Delete the copy of an image on one node."""
    answer = session.run("image.drop_copy", name=name, node=node, dry_run=session.dry_run)
    session.show(answer, f"{name} is not on {node} any more.")


@image.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the images, with the nodes that have them."""
    found = session.call("image.list")
    rows = [
        (
            row["name"],
            row["kind"],
            row["format"],
            sizes.shown(row["size"]),
            ", ".join(_on_node(node, there) for node, there in row["nodes"].items()) or "-",
            ", ".join(row["used_by"]) or "-",
        )
        for row in found
    ]
    headings = ("name", "kind", "format", "size", "nodes", "used by")
    session.show(found, lambda: output.table(rows, headings) if rows else "There is no image.")


def _on_node(node: str, there: dict[str, Any]) -> str:
    if there["state"] == "ready":
        return node
    done = "" if there["done"] is None else f" {there['done']:.0f} %"
    why = f": {there['problem']}" if there["problem"] else ""
    return f"{node} ({there['state']}{done}{why})"


@image.command()
@click.argument("name", metavar="NAME", shell_complete=images)
@common(dry_run=True)
@click.pass_obj
def delete(session: Session, name: str) -> None:
    """Delete an image on every node.

    Disks that were filled from it stay.
    """
    session.ask(f"Delete the image {name}?", lambda: session.plan("image.delete", name=name))
    answer = session.run("image.delete", name=name, dry_run=session.dry_run)
    left = answer.get("left") if isinstance(answer, dict) else None
    rest = f" Its file stays on {', '.join(left)}." if left else ""
    session.show(answer, f"The image {name} is deleted.{rest}")
