"""Images: added, copied to nodes, dropped, listed, deleted; and the steps of these plans."""

import re

from msgspec import Struct

from mcv.document.model import Cluster
from mcv.document.names import problem_with_name
from mcv.document.pools import Image, ImageKind
from mcv.document.schema import older_member
from mcv.document.subject import Subject
from mcv.drivers import download
from mcv.errors import McvError, OutcomeOpen, Refused, RepairNeeded, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.storage import image_files, image_intake, image_judge, image_plans
from mcv.storage.image_intake import Source, Taken, Wanted
from mcv.system.answers import ask_living_typed
from mcv.transaction.plan import Item, readable

SHA256 = re.compile(r"[0-9a-f]{64}")
UNKNOWN = "0" * 64
ASK = 2.0  # s that a node has to say how far its copies are


class NodeRow(Struct, frozen=True, kw_only=True):
    """An image on one node; `done` is how much of it is there, in percent, where that is known."""

    state: str
    done: float | None
    problem: str = ""


class ImageRow(Struct, frozen=True, kw_only=True):
    """An image in a list. `size` is what a guest sees, `bytes` what its file is long."""

    name: str
    kind: ImageKind
    format: str
    size: int
    bytes: int
    sha256: str
    given: str
    nodes: dict[str, NodeRow]
    used_by: list[str]


class Name(Struct, frozen=True, kw_only=True):
    """The image that an operation was about, and nodes whose file could not be reached."""

    name: str
    left: list[str] = []


# What an operator asks for


def add(
    host: Host,
    name: str,
    pid: int = 0,
    fd: int | None = None,
    url: str | None = None,
    format: str | None = None,
    sha256: str | None = None,
    kind: ImageKind | None = None,
    on: list[str] | None = None,
    allow_private: bool = False,
    dry_run: bool = False,
) -> Name | DryRun:
    """Make an image of an open file of the caller or of a URL, on this node and on others.

    `sha256` is that of the bytes as they are given, before they are unpacked. Raises Refused
    with every reason at once; Cancelled while the bytes are read.
    """
    wanted = Wanted(sha256=sha256, kind=kind, format=format)
    source = Source(pid=pid, fd=fd, url=url, allow_private=allow_private)
    _judge_new(host, name, source, wanted, on or [])
    if dry_run:
        return DryRun(plan=readable(_add_plan(host, name, _placeholder(kind), on or [])))
    with host.job.may_be_cancelled():
        taken = image_intake.take(host, name, source, wanted)

    def prepare() -> Prepared[Name]:
        return Prepared(_add_plan(host, name, taken, on or []), Name(name=name))

    try:
        return host.operate(Subject.image(name), f"image add {name}", prepare)
    except (RepairNeeded, OutcomeOpen):
        raise
    except McvError:
        image_intake.drop(host, taken.draft)
        raise


def _judge_new(host: Host, name: str, source: Source, wanted: Wanted, on: list[str]) -> None:
    cluster = host.read()
    problems = [problem for problem in [problem_with_name(name, "image")] if problem]
    if name in cluster.images:
        problems.append(Refused(f"There is an image {name} already.", "See: mcv image list"))
    if cluster.schema < 3:
        problems.append(older_member("An image cannot be written down"))
    problems += _why_no_image(source, wanted)
    problems += _why_not_to(cluster, on)
    refuse_all(problems)
    host.consensus.require_contact()


def _why_no_image(source: Source, wanted: Wanted) -> list[Refused]:
    """What is wrong with what an operator tells of an image."""
    problems = []
    if wanted.sha256 is not None and not SHA256.fullmatch(wanted.sha256):
        digits = "It has 64 digits of 0-9 and a-f."
        problems.append(Refused(f"{wanted.sha256!r} is no sha256.", digits))
    if wanted.kind not in (None, "disk", "iso"):
        problems.append(Refused(f"There is no image kind {wanted.kind}.", "Kinds: disk, iso."))
    try:
        image_judge.require_format(wanted.format)
        if source.url is not None:
            download.parts_of(source.url)
    except Refused as problem:
        problems.append(problem)
    return problems


def _why_not_to(cluster: Cluster, nodes: list[str]) -> list[Refused]:
    """What forbids to copy something to these nodes."""
    problems = []
    for node in nodes:
        if node not in cluster.nodes:
            known = f"Nodes: {', '.join(sorted(cluster.nodes))}."
            problems.append(Refused(f"There is no node {node}.", known))
        elif cluster.nodes[node].status == "offline":
            hint = f"Bring it back with: mcv node online {node}"
            problems.append(Refused(f"{node} is offline.", hint))
    return problems


def _add_plan(host: Host, name: str, taken: Taken, on: list[str]) -> list[Item]:
    image = Image(
        kind=taken.kind,
        format=taken.format,
        size=taken.size,
        bytes=taken.bytes,
        sha256=taken.sha256,
        given=taken.given,
        nodes=dict.fromkeys(sorted({host.name, *on}), "syncing"),
    )
    return image_plans.add_plan(name, image, host.name, taken.draft, f"image add {name}")


def _placeholder(kind: ImageKind | None) -> Taken:
    """What stands in a plan for an image of which nothing was read yet."""
    return Taken(
        draft="…",
        kind=kind or "disk",
        format="raw",
        size=0,
        bytes=0,
        sha256=UNKNOWN,
        given=UNKNOWN,
    )


def sync(host: Host, name: str, on: list[str], dry_run: bool = False) -> Name | DryRun:
    """Have an image whole on more nodes. Raises Refused where no node that is online has it."""

    def prepare() -> Prepared[Name]:
        cluster = host.read()
        problems = _why_not_to(cluster, on)
        if not on:
            problems.append(Refused("To which nodes is it to be copied?", "--on N"))
        refuse_all(problems)
        source = source_of(cluster, name, on, host.name)
        return Prepared(image_plans.sync_plan(name, source, sorted(set(on))), Name(name=name))

    return host.operate(Subject.image(name), f"image sync {name}", prepare, dry_run)


def source_of(cluster: Cluster, name: str, to: list[str], here: str) -> str:
    """The node that an image is copied from: this one, if it has the image whole."""
    image = cluster.image(name)
    online = [node for node in image.ready if node in cluster.online]
    others = [node for node in online if node not in to] or online
    if not others:
        has = f"It is on: {', '.join(image.ready)}." if image.ready else "No node has it whole."
        raise Refused(f"No node that is online has the image {name}.", has)
    return here if here in others else others[0]


def drop(host: Host, name: str, node: str, dry_run: bool = False) -> Name | DryRun:
    """Take an image from one node. Raises Refused where a VM there has it in its CD drive."""

    def prepare() -> Prepared[Name]:
        cluster = host.read()
        image = cluster.image(name)
        problems = _why_not_to(cluster, [node])
        if node in cluster.nodes and node not in image.nodes:
            problems.append(Refused(f"{node} has nothing of {name}.", "See: mcv image list"))
        users = [vm for vm in users_of(cluster, name) if cluster.vm(vm).node == node]
        if users:
            problems.append(Refused(f"{name} is the CD of {', '.join(users)} on {node}."))
        if image.ready == [node]:
            hint = f"mcv image delete {name}"
            problems.append(Refused(f"{node} is the last node that has {name}.", hint))
        refuse_all(problems)
        return Prepared(image_plans.drop_plan(name, image, node), Name(name=name))

    return host.operate(Subject.image(name), f"image drop {name}", prepare, dry_run)


def delete(host: Host, name: str, dry_run: bool = False) -> Name | DryRun:
    """Delete an image on every node. Raises Refused while a VM has it in its CD drive.

    The file on a node that is offline in the document stays, and is told.
    """

    def prepare() -> Prepared[Name]:
        cluster = host.read()
        image = cluster.image(name)
        if users := users_of(cluster, name):
            raise Refused(f"{name} is the CD of {', '.join(users)}.", f"mcv info {users[0]}")
        left = sorted(set(image.nodes) - set(cluster.online))
        nodes = sorted(set(image.nodes) - set(left))
        return Prepared(image_plans.delete_plan(name, image, nodes), Name(name=name, left=left))

    return host.operate(Subject.image(name), f"image delete {name}", prepare, dry_run)


def users_of(cluster: Cluster, name: str) -> list[str]:
    """The VMs that have an image in their CD drive."""
    return sorted(vm.name for vm in cluster.vms.values() if vm.cd == name)


def list_(host: Host) -> list[ImageRow]:
    """Every image; how far its copies are is asked of the nodes that have none whole yet."""
    cluster = host.read()
    unfinished = {
        node
        for image in cluster.images.values()
        for node, state in image.nodes.items()
        if state != "ready"
    }
    asked = ask_living_typed(host.call, unfinished, "image.lengths", ASK, dict[str, int])
    lengths = {node: answer for node, answer in asked.items() if not isinstance(answer, McvError)}
    return [
        ImageRow(
            name=name,
            kind=image.kind,
            format=image.format,
            size=image.size,
            bytes=image.bytes,
            sha256=image.sha256,
            given=image.given,
            nodes={node: _on_node(name, image, node, lengths) for node in sorted(image.nodes)},
            used_by=users_of(cluster, name),
        )
        for name, image in sorted(cluster.images.items())
    ]


def _on_node(name: str, image: Image, node: str, lengths: dict[str, dict[str, int]]) -> NodeRow:
    done: float | None = 100.0
    if image.nodes[node] != "ready":
        there = lengths.get(node)
        done = None if there is None else there.get(name, 0) * 100 / max(1, image.bytes)
    return NodeRow(state=image.nodes[node], done=done, problem=image.problems.get(node, ""))


# Steps


def place(host: Host, name: str, draft: str) -> None:
    """Give the draft of a new image its name."""
    image = image_files.newest(host, name)
    file = image_files.file_name(name, image)
    image_files.put(host, image_files.place_of(host, draft), file, image.sha256)


def take_back(host: Host, name: str, draft: str) -> None:
    """The way back of `place`: draft and file are gone."""
    image_intake.drop(host, draft)
    image = image_files.newest(host, name)
    image_files.discard(host, image_files.file_name(name, image))


def withdraw(host: Host, name: str) -> None:
    """Take an image out of use here; Busy while anything has its file open."""
    image_files.set_aside(host, _file(host, name))


def restore(host: Host, name: str) -> None:
    image_files.bring_back(host, _file(host, name))


def purge(host: Host, name: str, file: str) -> None:
    """Delete the file that an image had here, and what is left of a copy."""
    if not file.startswith(f"{name}-"):
        raise Refused(f"{file} is no file of {name}.")
    image_files.discard(host, file)


def _file(host: Host, name: str) -> str:
    return image_files.file_name(name, image_files.newest(host, name))
