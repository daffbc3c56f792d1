"""What a row of the table says: function, callers, right, subject, carrying node, timeout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcv.document.subject import Kind, Subject
from mcv.host import Host
from mcv.rules.rights import Right as Right  # whoever writes a row needs it

OPERATOR_ONLY = frozenset({"operator"})
PEER_ONLY = frozenset({"peer"})
OPERATOR_OR_PEER = frozenset({"operator", "peer"})

Parameters = Mapping[str, Any]
Where = Callable[[Host, Parameters], str]


def here(host: Host, params: Parameters) -> str:
    """The node that was asked."""
    return host.name


@dataclass(frozen=True)
class SubjectParameter:
    """The parameter of a call that names what the call is about."""

    kind: Kind
    parameter: str

    def subjects(self, params: Parameters) -> list[Subject]:
        value = params.get(self.parameter)
        names = value if isinstance(value, list) else [value]
        return [Subject(self.kind, name) for name in names if isinstance(name, str)]


VM = SubjectParameter("vm", "name")
NODE = SubjectParameter("node", "node")
NODE_BY_NAME = SubjectParameter("node", "name")
NODES = SubjectParameter("node", "names")
NODE_LEFT = SubjectParameter("node", "source")
POOL = SubjectParameter("pool", "name")
IMAGE = SubjectParameter("image", "name")
SERVICE = SubjectParameter("service", "name")


@dataclass(frozen=True)
class Operation:
    """A row: the function, its callers, and how a call is served.

    `right` and `subject`: what an operator must be allowed, and on what. `job`: the call
    lasts, and is followed. `to`: the node that carries the call out; an operator's call is
    forwarded there once. `beside`: the parameter that names this node and is none of the
    function's. `step`: served to the node that the plan's claims name, for what they claim, under
    the locks of the plan's subjects; a step that `looks` changes nothing, lasts, and takes no
    lock, so that a stop takes its turn meanwhile. `any_epoch`: answered also to a caller that is
    out of step.
    `sender`: the caller's name is a parameter. `pid`: the caller's process is. `person`: the
    person who asked is. `reader`: the operator is, who may be asked about as long as a stream
    lasts (mcv.vm.consoles.Reader).
    `brief`: where the job failed and was undone, nothing of it is listed.
    `asks`: it changes nothing, so a lost answer leaves nothing open.
    `awaits_libvirt`: the job begins when libvirt answers on its node. `offline_too`: forwarded
    also to a node that is offline in the document.
    """

    function: Callable[..., Any]
    who: frozenset[str]
    right: Right = Right.VIEW
    subject: SubjectParameter | None = None
    job: bool = False
    to: Where = here
    beside: str = ""
    timeout: float = 10.0
    step: bool = False
    looks: bool = False
    any_epoch: bool = False
    sender: bool = False
    pid: bool = False
    reader: bool = False
    person: bool = False
    awaits_libvirt: bool = False
    asks: bool = False
    brief: bool = False
    offline_too: bool = False

    def subjects(self, params: Parameters) -> list[Subject]:
        """What a call is about: VMs or members; nothing where it is about the cluster."""
        return self.subject.subjects(params) if self.subject else []

    def arguments(self, params: Parameters) -> dict[str, Any]:
        """The parameters of the function among those of the call."""
        return {key: value for key, value in params.items() if key != self.beside}


# Kinds of rows


def admin(
    function: Callable[..., Any], subject: SubjectParameter | None = None, **how: Any
) -> Operation:
    """A change of the cluster, as a job."""
    return Operation(function, _callers(**how), Right.ADMIN, subject, job=True, **how)


def change(
    function: Callable[..., Any], to: Where, right: Right = Right.CHANGE, **how: Any
) -> Operation:
    """A change of a VM, as a job."""
    return Operation(function, _callers(to), right, VM, job=True, to=to, **how)


def _callers(to: Where = here, **_: Any) -> frozenset[str]:
    """A call that the node asked carries out itself is forwarded by no member."""
    return OPERATOR_ONLY if to is here else OPERATOR_OR_PEER


def power(function: Callable[..., Any], to: Where) -> Operation:
    """A VM switched on or off, as a job."""
    return Operation(
        function,
        OPERATOR_OR_PEER,
        Right.POWER,
        VM,
        job=True,
        to=to,
        awaits_libvirt=True,
        brief=True,
    )


def step(
    function: Callable[..., Any],
    timeout: float = 120.0,
    subject: SubjectParameter = VM,
    looks: bool = False,
) -> Operation:
    return Operation(function, PEER_ONLY, subject=subject, step=True, timeout=timeout, looks=looks)


def question(function: Callable[..., Any], timeout: float = 5.0, sender: bool = False) -> Operation:
    return Operation(function, PEER_ONLY, timeout=timeout, any_epoch=True, sender=sender, asks=True)


def read(function: Callable[..., Any], subject: SubjectParameter | None = None) -> Operation:
    return Operation(function, OPERATOR_ONLY, subject=subject)


# The node that carries a call out


def owner(host: Host, params: Parameters) -> str:
    """The owner of the VM; this node, where the VM does not exist, to say so."""
    vm = host.read().vms.get(params.get("name", ""))
    return vm.node if vm else host.name


def service_owner(host: Host, params: Parameters) -> str:
    """The owner of the service; this node, where there is none of that name, to say so."""
    service = host.read().services.get(params.get("name", ""))
    return service.node if service else host.name


def named(host: Host, params: Parameters) -> str:
    """The node that the call names, or the owner of its VM."""
    return params.get("node") or owner(host, params)


def named_or_here(host: Host, params: Parameters) -> str:
    """The node that the call names, or this node: a new VM has no owner yet."""
    return params.get("node") or host.name


def owner_or_here(host: Host, params: Parameters) -> str:
    """The owner of the VM; this node, where the owner is offline in the document."""
    node = owner(host, params)
    return node if node in host.read().online else host.name


def itself(host: Host, params: Parameters) -> str:
    """The member that the call is about: it alone says that it is online, or leaves."""
    name = params.get("name", "")
    return name if name in host.read().nodes else host.name


def leaver(host: Host, params: Parameters) -> str:
    """The living member that leaves; this node, where members are declared dead."""
    names = params.get("names") or []
    if params.get("confirm_dead") or len(names) != 1:
        return host.name
    return itself(host, {"name": names[0]})


def coordinator(host: Host, params: Parameters) -> str:
    return host.read().coordinator or host.name


def another(host: Host, params: Parameters) -> str:
    """A member that stays: a leaving member cannot write its own removal down."""
    others = [name for name in host.read().online if name != host.name]
    return others[0] if params.get("node") == host.name and others else host.name


def another_or_itself(host: Host, params: Parameters) -> str:
    """A member that stays and empties the node; the node itself where its guests end with it."""
    return named(host, params) if params.get("shutdown") else another(host, params)
