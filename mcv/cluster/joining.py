"""The node that joins a cluster: it trusts the members it is told of, and takes their document."""

import time
from pathlib import Path

import msgspec
from msgspec import Struct

from mcv.document.model import decode
from mcv.drbd import secret
from mcv.errors import Refused
from mcv.host import Host
from mcv.system import files

STAGED_FOR = 600.0  # seconds that a join which was begun from outside may take


class StagedMember(Struct, frozen=True, kw_only=True):
    """A member that a staged node trusts."""

    name: str
    ip_address: str
    certificate: str


class Stage(Struct, frozen=True, kw_only=True):
    """A join as the cluster announces it to the node that joins."""

    operation: str
    members: list[StagedMember]


class StagedJoin(Stage, frozen=True, kw_only=True):
    """The same as the node keeps it, with the time of its beginning."""

    since: float


class OnNode(Struct, frozen=True, kw_only=True):
    """The node on which a step of a join was done."""

    node: str


def stage_path(host: Host) -> Path:
    return host.settings.state / "staged.json"


def staged(host: Host) -> StagedJoin | None:
    """The join that was begun here and has not arrived, unless its time is over."""
    stage = files.read_or_set_aside(stage_path(host), StagedJoin)
    if stage is None or 0 <= time.time() - stage.since <= STAGED_FOR:
        return stage
    files.remove(stage_path(host))
    return None


def stage_join(host: Host, document: str) -> OnNode:
    """Trust the members of a cluster that is about to take this node in, for ten minutes.

    Raises Refused where this node is not blank, or where the text is no stage.
    """
    _require_joinable(host)
    try:
        given = msgspec.json.decode(document, type=Stage)
    except msgspec.DecodeError as error:
        raise Refused(f"This is no join that a cluster has begun: {error}.") from error
    stage = StagedJoin(since=time.time(), operation=given.operation, members=given.members)
    files.write_atomically(stage_path(host), msgspec.json.encode(stage).decode())
    return OnNode(node=host.name)


def unstage_join(host: Host, operation: str) -> OnNode:
    """Forget a join that failed; harmless when it is another join's or gone."""
    stage = staged(host)
    if stage is not None and stage.operation == operation:
        files.remove(stage_path(host))
    return OnNode(node=host.name)


def is_blank(host: Host) -> bool:
    """A cluster of one without VMs and networks, whatever its history."""
    cluster = host.read()
    return list(cluster.nodes) == [host.name] and not cluster.vms and not cluster.networks


def _require_joinable(host: Host) -> None:
    """Raises Refused where a join would end what this node has of its own.

    Rights are among that: whom they held back might do everything by the cluster's document.
    """
    if not is_blank(host):
        raise Refused(f"{host.name} is not blank.", "See: mcv info")
    if whose := host.read().permissions.whose:
        raise Refused(
            f"{host.name} has rights of its own, which would end: {', '.join(whose)}.",
            "First, there: mcv permission revoke; for a superuser: mcv permission remove",
        )


def adopt(host: Host, document: str, operation: str) -> OnNode:
    """Take the first document of the cluster that this node joins.

    Errors: Refused unless this node is blank, the join was begun here, and the document has
    the keys of this node and of the members that were named over ssh.
    """
    new = decode(document)
    stage = staged(host)
    if stage is None or stage.operation != operation:
        if host.read().epoch.id == new.epoch.id:
            return OnNode(node=host.name)
        raise Refused(f"No such join was begun on {host.name}.")
    _require_joinable(host)
    keys = {host.name: host.certificate, **{one.name: one.certificate for one in stage.members}}
    if any(name not in new.nodes or new.nodes[name].certificate != keys[name] for name in keys):
        raise Refused("The document has other members than the join that was begun here.")
    host.consensus.begin(new)
    files.remove(stage_path(host))
    return OnNode(node=host.name)


def blank(host: Host) -> OnNode:
    """Make this node a cluster of one again; its history stays, the secret goes."""
    if len(host.read().nodes) > 1 or host.name not in host.read().nodes:
        host.begin_alone()
    if host.etcd.unit.is_there:
        host.etcd.unit.discard()
    secret.forget(host)
    host.fences.secrets.forget()
    files.remove(stage_path(host))
    return OnNode(node=host.name)
