"""Images, judged: whether each node has what the document says, and what is left beside them."""

from collections.abc import Iterator

from mcv.check.finding import ClusterSnapshot, Finding
from mcv.check.inventory import Inventory
from mcv.document.pools import Image
from mcv.rules.finding import Severity
from mcv.storage.image_files import DRAFT, GONE, file_name

Findings = Iterator[Finding]


def judge(scene: ClusterSnapshot) -> Findings:
    """Every image that nothing is at work on, then the files that belong to none."""
    for name, image in scene.cluster.images.items():
        if any(document.images.get(name) != image for document in scene.known) or image.claim:
            continue
        if not image.ready:
            yield _finding(Severity.WARNING, scene.me, name, *_nowhere(name))
        for node in image.nodes:
            if node in scene.seen:
                yield from _on_node(scene, name, image, node)
    for node, inventory in scene.seen.items():
        yield from _strays(scene, node, inventory)


def _nowhere(name: str) -> tuple[str, str]:
    return f"No node has the image {name} whole.", f"mcv image delete {name}, and add it again."


def _on_node(scene: ClusterSnapshot, name: str, image: Image, node: str) -> Findings:
    """The state of an image on a node that answered; an error where a VM there has it."""
    is_used = any(vm.cd == name and vm.node == node for vm in scene.cluster.vms.values())
    severity = Severity.ERROR if is_used else Severity.WARNING
    again = f"mcv image sync {name} --on {node}"
    problem = _problem(name, image, node, scene.seen[node])
    if problem:
        yield _finding(severity, node, name, problem, again)


def _problem(name: str, image: Image, node: str, inventory: Inventory) -> str:
    state, seen = image.nodes[node], inventory.images.get(file_name(name, image))
    if state == "failed":
        return f"The copy of {name} to {node} has failed: {image.problems.get(node, '?')}"
    if state == "syncing":
        return f"The copy of {name} to {node} was cut off."
    if inventory.images_problem:
        return f"The images of {node} cannot be looked at: {inventory.images_problem}"
    if seen is None:
        return f"{node} does not have the file of the image {name}."
    if seen.size != image.bytes:
        return f"The file of {name} on {node} has {seen.size} bytes, not {image.bytes}."
    if not seen.is_as_noted:
        return f"The file of {name} on {node} was changed, or touched, since it was compared."
    return ""


def _strays(scene: ClusterSnapshot, node: str, inventory: Inventory) -> Findings:
    """Files that no document has on that node; what a job that is at work writes is none."""
    expected = {
        file_name(name, image)
        for document in scene.known
        for name, image in document.images.items()
        if node in image.nodes or image.claim
    }
    is_at_work = bool(inventory.running or inventory.unfinished)
    for file in inventory.images:
        whole = file.removesuffix(DRAFT).removesuffix(GONE)
        if whole in expected or (whole != file and is_at_work):
            continue
        yield _finding(
            Severity.WARNING,
            node,
            file,
            f"{node} has {file} in its directory of images, which no image is.",
            "Where nobody misses it, delete it. A restart of mcvd deletes what jobs have left."
            if whole != file
            else "Where nobody misses it, delete it.",
        )


def _finding(severity: Severity, node: str, subject: str, message: str, hint: str) -> Finding:
    return Finding(severity=severity, node=node, subject=subject, message=message, hint=hint)
