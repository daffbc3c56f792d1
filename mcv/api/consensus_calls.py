"""What members ask each other about the document: unanimous agreement's doors, one a question."""

from collections.abc import Sequence

from mcv.consensus.doors import Doors
from mcv.consensus.unanimous.agreement import UnanimousAgreement
from mcv.errors import Refused
from mcv.host import Host
from mcv.system.answers import plain


def _agreement(host: Host) -> UnanimousAgreement:
    """This node's part; raise what is damaged, or Refused where members agree in another way."""
    if host.consensus.damage:
        raise host.consensus.damage
    part = host.consensus.unanimous if isinstance(host.consensus, Doors) else host.consensus
    if not isinstance(part, UnanimousAgreement):
        raise Refused(f"{host.name} takes no part in unanimous agreement.")
    return part


def poll(host: Host) -> object:
    return plain(_agreement(host).member.poll())


def fetch(host: Host, since: str = "", proposal: bool = False) -> object:
    return plain(_agreement(host).member.fetch(since, proposal))


def propose(host: Host, document: str, attempt: str, sender: str) -> object:
    return plain(_agreement(host).coordinator.propose(document, attempt, sender))


def accept(host: Host, document: str, sender: str, between: Sequence[str] = ()) -> object:
    return plain(_agreement(host).member.accept(document, sender, between))


def commit(host: Host, hash: str, sender: str) -> object:
    part = _agreement(host)
    if isinstance(host.consensus, Doors):
        host.consensus.follow(hash)
    return plain(part.member.commit(hash, sender))


def take_shown(host: Host) -> str:
    """Take what the voters of etcd show by themselves; the hash of what this node has then."""
    _agreement(host)
    if isinstance(host.consensus, Doors):
        host.consensus.take_shown_alone()
    return host.consensus.committed()[1]


def install(host: Host, document: str, between: list[str]) -> object:
    return plain(_agreement(host).member.install(document, between))
