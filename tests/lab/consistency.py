"""Whether what a crash cut off is there whole, or not at all, and nothing is left of it."""

from tests.lab import LabError, Node, reality, wait_until
from tests.lab.cluster import told

RESOURCE = "mcv-web1-1"


def parts(nodes: list[Node]) -> dict[str, set[str]]:
    """All that VMs are made of, on every node."""
    found = {"documents": {name for node in nodes for name in reality.document(node)["vms"]}}
    for node in nodes:
        found |= {
            f"domains of {node.name}": reality.domains(node),
            f"volumes of {node.name}": reality.volumes(node),
            f"resources of {node.name}": reality.kernel_resources(node),
            f"files of {node.name}": reality.resource_files(node),
        }
    return found


def owner(node: Node) -> str:
    return str(reality.document(node)["vms"]["web1"]["node"])


def is_whole(nodes: list[Node]) -> bool:
    """web1 is there, with its disk on both nodes, in step, defined on its owner alone."""
    found = parts(nodes)
    if found["documents"] != {"web1"}:
        return False
    wanted = {"documents": {"web1"}}
    for node in nodes:
        wanted |= {
            f"domains of {node.name}": {"web1"} if node.name == owner(nodes[0]) else set(),
            f"volumes of {node.name}": {RESOURCE},
            f"resources of {node.name}": {RESOURCE},
            f"files of {node.name}": {RESOURCE},
        }
    views = [reality.drbd(node, RESOURCE) for node in nodes]
    return found == wanted and all(view is not None and view.is_well for view in views)


def is_gone(nodes: list[Node]) -> bool:
    return not any(parts(nodes).values())


def is_settled(nodes: list[Node]) -> bool:
    """No claim is held, no journal holds an entry, no proposal is open; who is a member says
    the same as the others, and all are online."""
    documents = [reality.document(node) for node in nodes]
    listed = "cd /var/lib/mcv/$(hostname); ls journal proposal.json 2> /dev/null"
    if any(node.run(listed, check=False).stdout.strip("\n").strip("journal:") for node in nodes):
        return False
    for node, document in zip(nodes, documents, strict=True):
        others = [one for one in documents if node.name in one["nodes"]]
        if any(one != document for one in others):
            return False
        try:
            claims = told(node, "locks list")["claims"]
            statuses = {one["status"] for one in told(node, "info")["nodes"]}
        except (AssertionError, LabError):
            return False
        if claims or statuses != {"online"}:
            return False
    return True


def settle(nodes: list[Node]) -> None:
    """Give the daemons time, and then a hint, to finish or undo what is left."""
    try:
        wait_until(lambda: is_settled(nodes), 40, "everything to be settled")
    except LabError:
        nodes[0].run("mcv repair", check=False, timeout=120)
        wait_until(lambda: is_settled(nodes), 40, "everything to be settled")
