"""Changes of images."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster
from mcv.document.pools import Image, ImageState
from mcv.document.registry import change, claimed, new_claim, released
from mcv.errors import Refused


@change("image.add")
def image_add(
    base: Cluster, made: ChangeMade, /, name: str, image: dict[str, Any], why: str
) -> Cluster:
    """A new image, with the claim of the operation that makes it."""
    new = msgspec.convert(image, Image)
    if name in base.images:
        raise Refused(f"There is an image {name} already.", "See: mcv image list")
    for node in new.nodes:
        base.node(node)
    return _with(base, name, replace(new, claim=new_claim(base, made, why)))


@change("image.state")
def image_state(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    nodes: list[str],
    state: ImageState,
    problem: str = "",
) -> Cluster:
    """What nodes have of an image; `problem` says why they have none of it."""
    image = base.image(name)
    for node in nodes:
        base.node(node)
    states = {**image.nodes, **dict.fromkeys(nodes, state)}
    problems = {node: text for node, text in image.problems.items() if node not in nodes}
    if problem:
        problems |= dict.fromkeys(nodes, problem)
    new = replace(image, nodes=states, problems=problems)
    return base if new == image else _with(base, name, new)


@change("image.give_up")
def image_give_up(
    base: Cluster, made: ChangeMade, /, name: str, nodes: list[str], problem: str
) -> Cluster:
    """The copies to these nodes are ended; those that are not whole have failed."""
    image = base.images.get(name)
    unfinished = [node for node in nodes if image and image.nodes.get(node) == "syncing"]
    if not unfinished:
        return base
    return image_state(base, made, name, unfinished, "failed", problem)


@change("image.forget")
def image_forget(base: Cluster, made: ChangeMade, /, name: str, node: str) -> Cluster:
    """An image without one of its nodes; Refused for the last node that has it whole."""
    image = base.image(name)
    if node not in image.nodes:
        return base
    if image.ready == [node]:
        raise Refused(f"{node} is the last node that has {name}.", f"mcv image delete {name}")
    return _with(base, name, image.without(node))


@change("image.remove")
def image_remove(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Forget an image."""
    if name not in base.images:
        return base
    kept = {key: image for key, image in base.images.items() if key != name}
    return replace(base, images=kept)


@change("image.claim")
def image_claim(base: Cluster, made: ChangeMade, /, name: str, why: str) -> Cluster:
    """Claim an image; Busy while another operation has claimed it."""
    return _with(base, name, claimed(base, made, name, base.image(name), why))


@change("image.release")
def image_release(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """End the claim of this operation; harmless without image or claim."""
    image = released(made, base.images.get(name))
    return base if image is None else _with(base, name, image)


def _with(base: Cluster, name: str, image: Image) -> Cluster:
    return replace(base, images={**base.images, name: image})
