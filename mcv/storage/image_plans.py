"""The plans of images: facts in, steps out. Pure functions."""

from collections.abc import Sequence

from mcv.document.pools import Image
from mcv.storage.image_files import file_name
from mcv.system.answers import plain
from mcv.transaction.plan import Change, Item, Step, change, on, together

CUT_OFF = "its copy was cut off"


def add_plan(name: str, image: Image, node: str, draft: str, why: str) -> list[Item]:
    """Write the image down with its claim, give its file its name, then copy it to the others.

    The node's state commits the plan: a copy that fails is told, and can be made later.
    """
    others = sorted(set(image.nodes) - {node})
    place = {"name": name, "draft": draft}
    plan: list[Item] = [
        Step(
            change("image.add", name=name, image=plain(image), why=why),
            undo=change("image.remove", name=name),
        ),
        Step(on(node, "image.place", **place), undo=on(node, "image.take_back", **place)),
        Step(change("image.state", name=name, nodes=[node], state="ready"), commits=True),
    ]
    if others:
        copies = (
            Step(on(other, "image.copy", name=name, source=node), may_fail=True) for other in others
        )
        plan += [together(copies), Step(_given_up(name, others))]
    return plan


def sync_plan(name: str, source: str, nodes: Sequence[str]) -> list[Item]:
    """Copy the image to nodes side by side; each says itself when its copy is whole.

    The first item commits the plan: a copy that goes on after its coordinator has given it up
    becomes ready, so it cannot be called undone. A copy that fails is told, and kept for the next.
    """
    copies = (
        Step(on(node, "image.copy", name=name, source=source), may_fail=True) for node in nodes
    )
    syncing = change("image.state", name=name, nodes=list(nodes), state="syncing")
    return [
        Step(syncing, commits=True),
        together(copies),
        Step(_given_up(name, nodes)),
    ]


def drop_plan(name: str, image: Image, node: str) -> list[Item]:
    """Set the file aside, where nothing has it open, then forget it, then delete it."""
    return [
        Step(on(node, "image.withdraw", name=name), undo=on(node, "image.restore", name=name)),
        Step(change("image.forget", name=name, node=node), commits=True),
        Step(on(node, "image.purge", name=name, file=file_name(name, image)), may_fail=True),
    ]


def delete_plan(name: str, image: Image, nodes: Sequence[str]) -> list[Item]:
    """Set the files aside, then delete them, then forget the image, its claim with it.

    From the commit on no node has the image whole, so that no VM is made of it.
    """
    file = file_name(name, image)
    return [
        together(
            Step(on(node, "image.withdraw", name=name), undo=on(node, "image.restore", name=name))
            for node in nodes
        ),
        Step(
            change(
                "image.state",
                name=name,
                nodes=sorted(image.nodes),
                state="failed",
                problem="it is being deleted",
            ),
            commits=True,
        ),
        together(
            Step(on(node, "image.purge", name=name, file=file), may_fail=True) for node in nodes
        ),
        Step(change("image.remove", name=name)),
    ]


def _given_up(name: str, nodes: Sequence[str]) -> Change:
    return change("image.give_up", name=name, nodes=list(nodes), problem=CUT_OFF)
