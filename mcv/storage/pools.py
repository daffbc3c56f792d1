"""Pools: every node is asked first, all problems at once; then the document is changed."""

import uuid
from collections.abc import Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mcv.document import pool_changes
from mcv.document.model import Cluster
from mcv.document.names import Location, problem_with_name
from mcv.document.pools import Pool, PoolType
from mcv.document.schema import older_member
from mcv.document.subject import Subject
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.storage import shared_locks
from mcv.storage.pool_places import Place
from mcv.storage.shared_locks import Excluding
from mcv.system.answers import ask_typed, plain
from mcv.transaction.plan import Item, Step, change, on

FACTS = 10.0  # s that a node has to look at a place
FORMS: dict[PoolType, str] = {
    "dir": "a directory by its whole path: /srv/vms",
    "lvm": "a volume group: vg0",
    "thin": "a thin pool in its volume group: vg0/thin",
    "shared": "a directory by its whole path, which every node mounts: /mnt/vms",
}


class PoolNow(Struct, frozen=True, kw_only=True):
    """A pool, and where it lies on each of its nodes.

    `locks` are the nodes of a shared pool whose locks exclude each other; `lock_problems` say
    why others' do not. No VM with a disk there is taken over between such nodes.
    """

    name: str
    type: PoolType
    nodes: dict[str, str]
    locks: list[str] = []
    lock_problems: list[str] = []


class PoolGone(Struct, frozen=True, kw_only=True):
    """The pool that is deleted. What the administrator made for it stays."""

    name: str


def create(
    host: Host,
    name: str,
    type: PoolType,
    location: str | None = None,
    on: list[str] | None = None,
    dry_run: bool = False,
) -> PoolNow | DryRun:
    """Make a pool of what is on the nodes already. `on`: NODE or NODE=LOCATION each.

    Without `on` the pool is on every node. Effect: the pool's entry in the document; the mark
    of a shared pool, which its first node writes and every other one has to see; whether locks
    exclude each other there is tried once, and written down. Errors:
    Refused with every reason of every node; Failed where a node does not see the mark.
    """
    title = f"pool create {name}"
    id_ = str(uuid.uuid4()) if type == "shared" else ""

    def prepare() -> Prepared[PoolNow]:
        cluster = host.read()
        problems = _problems_with_name(cluster, name)
        nodes = _nodes(cluster, location, on or [], problems)
        problems += _problems_at(host, name, type, nodes)
        refuse_all(problems)
        tried = shared_locks.of_new_pool(host, nodes) if id_ else Excluding()
        pool = Pool(type=type, nodes=nodes, id=id_, locks=tuple(sorted(tried.nodes)))
        answer = _now(name, pool, tried)
        return Prepared(create_plan(name, pool, title), answer)

    return host.operate(Subject.pool(name), title, prepare, dry_run)


def create_plan(name: str, pool: Pool, why: str) -> list[Item]:
    """The entry with its claim; a shared pool's mark, written once and seen by every other node.

    A pool is used when its claim is released.
    """
    entry = change("pool.add", name=name, pool=plain(pool), why=why)
    plan: list[Item] = [Step(entry, undo=change("pool.remove", name=name))]
    if pool.type == "shared":
        first, *others = sorted(pool.nodes)
        plan.append(
            Step(on(first, "pool.mark", name=name), undo=on(first, "pool.unmark", name=name))
        )
        plan += [Step(on(node, "pool.prove", name=name)) for node in others]
    return plan


def add_node(
    host: Host, name: str, node: str, location: str | None = None, dry_run: bool = False
) -> PoolNow | DryRun:
    """Let a pool be on one more node. Errors: Refused with every reason; NotFound."""
    title = f"pool add-node {name} --node {node}"

    def prepare() -> Prepared[PoolNow]:
        cluster = host.read()
        pool = pool_changes.own(cluster, name)
        problems: list[Refused] = []
        if node in pool.nodes:
            raise Refused(f"Pool {name} is on {node} already ({pool.nodes[node]}).")
        where = _nodes(cluster, location or _common(pool), [node], problems)
        problems += _problems_at(host, name, pool.type, where, pool.id)
        refuse_all(problems)
        tried = Excluding()
        if pool.type == "shared":
            tried = shared_locks.of_new_node(host, pool, node, where[node])
        locks = {"locks": tried.nodes} if tried.nodes else {}
        step = Step(change("pool.extend", name=name, node=node, location=where[node], **locks))
        known = tuple(sorted({*pool.locks, *tried.nodes}))
        wider = replace(pool, nodes={**pool.nodes, **where}, locks=known)
        return Prepared([step], _now(name, wider, tried))

    return host.operate(Subject.pool(name), title, prepare, dry_run)


def _now(name: str, pool: Pool, tried: Excluding) -> PoolNow:
    return PoolNow(
        name=name,
        type=pool.type,
        nodes=pool.nodes,
        locks=list(pool.locks),
        lock_problems=tried.problems,
    )


def _common(pool: Pool) -> str | None:
    """The pool's location, where it has the same one on every node."""
    locations = set(pool.nodes.values())
    return locations.pop() if len(locations) == 1 else None


def remove_node(host: Host, name: str, node: str, dry_run: bool = False) -> PoolNow | DryRun:
    """Take a pool off a node; what is there stays. Errors: Refused while a disk lies there."""

    def prepare() -> Prepared[PoolNow]:
        pool = pool_changes.own(host.read(), name)
        if node not in pool.nodes:
            raise Refused(f"Pool {name} is not on {node}.", "See: mcv pool list")
        pool_changes.require_without(host.read(), name, node)
        step = Step(change("pool.reduce", name=name, node=node))
        return Prepared([step], _now(name, pool.without(node), Excluding()))

    title = f"pool remove-node {name} --node {node}"
    return host.operate(Subject.pool(name), title, prepare, dry_run)


def delete(host: Host, name: str, dry_run: bool = False) -> PoolGone | DryRun:
    """Forget a pool in which no disk lies; directory, group or thin pool stay.

    The mark of a shared pool goes with it where a node sees that mark.
    """

    def prepare() -> Prepared[PoolGone]:
        cluster = host.read()
        pool = pool_changes.own(cluster, name)
        pool_changes.require_empty(cluster, name)
        plan: list[Item] = []
        if pool.type == "shared":
            plan += _unmarking(name, _marked(host, name, pool))
        plan.append(Step(change("pool.remove", name=name)))
        return Prepared(plan, PoolGone(name=name))

    return host.operate(Subject.pool(name), f"pool delete {name}", prepare, dry_run)


def _unmarking(name: str, nodes: Iterable[str]) -> list[Item]:
    return [
        Step(on(node, "pool.unmark", name=name), undo=on(node, "pool.mark", name=name))
        for node in list(nodes)[:1]
    ]


def _marked(host: Host, name: str, pool: Pool) -> list[str]:
    """The nodes that see the mark of a shared pool now."""
    return [
        node
        for node, place in _places(host, name, pool.type, pool.nodes, pool.id).items()
        if isinstance(place, Place) and place.mark == pool.id
    ]


def _problems_with_name(cluster: Cluster, name: str) -> list[Refused]:
    problems = []
    if cluster.schema < 3:
        problems.append(older_member("A pool cannot be written down"))
    if problem := problem_with_name(name, "pool"):
        problems.append(problem)
    elif name in cluster.all_pools:
        problems.append(Refused(f"There is a pool {name} already.", "See: mcv pool list"))
    return problems


def _nodes(
    cluster: Cluster, location: str | None, named: list[str], problems: list[Refused]
) -> dict[str, str]:
    """Where the pool is to lie on each node that was named, or on every node; members alone."""
    nodes: dict[str, str] = {}
    for text in named or sorted(cluster.nodes):
        node, _, where = text.partition("=")
        where = where or location or ""
        where = where.rstrip("/") or where
        if node not in cluster.nodes:
            members = ", ".join(sorted(cluster.nodes))
            problems.append(Refused(f"There is no node {node}.", f"Nodes: {members}."))
        elif node in nodes:
            problems.append(Refused(f"{node} is named twice."))
        elif not where:
            problems.append(Refused(f"Where is the pool on {node}?", "Say it: --location L"))
        elif cluster.nodes[node].status == "offline":
            problems.append(
                Refused(
                    f"{node} is offline, so its place cannot be looked at.",
                    f"Bring it back with: mcv node online {node}; or name the other nodes: --on",
                )
            )
        else:
            nodes[node] = where
    return nodes


def _problems_at(
    host: Host, name: str, type: PoolType, nodes: dict[str, str], mark: str = ""
) -> list[Refused]:
    """What stands in the way of the pool on these nodes: what they say, and what they share."""
    problems = [
        Refused(f"{where!r} is no location of a pool of type {type}.", f"It is {FORMS[type]}.")
        for where in sorted({where for where in nodes.values() if not _has_form(type, where)})
    ]
    uuids: dict[str, str] = {}
    well_formed = {node: where for node, where in nodes.items() if _has_form(type, where)}
    for node, place in _places(host, name, type, well_formed, mark).items():
        if not isinstance(place, Place):
            problems.append(Refused(f"{node} is needed: {place.message}", place.hint))
            continue
        problems += [Refused(f"{node}: {said}", hint) for said, hint in place.problems]
        if place.uuid and place.uuid in uuids:
            problems.append(
                Refused(
                    f"{nodes[node]} on {node} and on {uuids[place.uuid]} is one volume group.",
                    "Two hosts that write to one volume group destroy it; mcv takes none.",
                )
            )
        uuids.setdefault(place.uuid, node)
    return problems


def _has_form(type: PoolType, location: str) -> bool:
    """Whether a text can be a location of that type: a whole path, a group, or VG/POOL."""
    try:
        msgspec.convert(location, Location)
    except msgspec.ValidationError:
        return False
    if type in ("dir", "shared"):
        return location.startswith("/")
    return not location.startswith("/") and location.count("/") == (1 if type == "thin" else 0)


def _places(
    host: Host, name: str, type: PoolType, nodes: dict[str, str], mark: str
) -> dict[str, Place | McvError]:
    """What each node says of its place."""

    def ask(node: str, operation: str, timeout: float) -> object:
        where = nodes[node]
        return host.call(
            node, operation, timeout=timeout, pool=name, type=type, location=where, mark=mark
        )

    return ask_typed(ask, nodes, "pool.place", FACTS, Place)
