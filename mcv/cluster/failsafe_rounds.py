"""mcvd's part in leases: it watches those of others, and asks for promises where its own runs out.

The rules are in mcv/ha/failsafe.py and mcv/ha/taking.py.
"""

import logging

from msgspec import Struct

from mcv.errors import McvError
from mcv.ha import failsafe
from mcv.ha.armed import Armed
from mcv.ha.at_once import at_once
from mcv.ha.env import Unknown
from mcv.ha.start_env import NodeEnv
from mcv.host import Host
from mcv.system import lease
from mcv.system.answers import ask_typed
from mcv.system.lease import LeaseFile

log = logging.getLogger(__name__)

ANSWER = 1.5  # s that a member has for its promise


class Promise(Struct, frozen=True, kw_only=True):
    """Whether a member promises not to take the asking node's lease for T from now."""

    promised: bool


class Renewal(Struct, frozen=True, kw_only=True):
    """Whether a member has written the asking node's lease anew."""

    renewed: bool


class MemberNodeEnv(NodeEnv):
    """What mcvd may do to keep its node's lease: see MemberEnv."""

    def __init__(self, host: Host, cluster: str) -> None:
        super().__init__(host.name, host.settings.run, host.keyspace, cluster)
        self._host = host
        self.cluster = cluster

    async def members(self) -> frozenset[str]:
        return frozenset(self._host.read().nodes) - {self.node}

    async def is_online(self, node: str) -> bool:
        return node in self._host.read().online

    async def head_here(self) -> str:
        return self._host.consensus.committed()[1]

    async def ask_promises(self, members: frozenset[str], head: str) -> frozenset[str]:
        answers = ask_typed(
            self._host.call, sorted(members), "ha.promise", ANSWER, Promise, head=head
        )
        silent = {name: told for name, told in answers.items() if isinstance(told, McvError)}
        if silent:
            log.info("no promise: %s", "; ".join(told.message for told in silent.values()))
        return frozenset(
            name for name, told in answers.items() if isinstance(told, Promise) and told.promised
        )

    async def ask_renewal(self, members: frozenset[str]) -> bool:
        answers = ask_typed(
            self._host.call, sorted(members), "ha.renew", ANSWER, Renewal, boot=self.boot
        )
        by = [name for name, told in answers.items() if isinstance(told, Renewal) and told.renewed]
        if by:
            log.info("the lease was renewed by %s", by[0])
        return bool(by)

    async def publish_promises(self, sent: float) -> None:
        lease.write(LeaseFile(self.boot, sent), self._run, lease.PROMISES)


def _env(host: Host) -> MemberNodeEnv | None:
    """None where nothing hangs on leases."""
    document = host.read()
    if document.store is None or not document.ha.armed or host.name not in document.nodes:
        return None
    return MemberNodeEnv(host, document.store.id)


def look(host: Host) -> None:
    """One round of a loop: read the leases of all nodes. Without etcd nothing is seen to change."""
    env = _env(host)
    if env is None:
        host.leases.forget()
        return
    try:
        host.leases.look(env, env.cluster)
    except Unknown as unknown:
        log.debug("leases: %s", unknown)


def extend(host: Host) -> None:
    """One round of a loop: ask the others where the writes of this node's lease have failed."""
    told = _told(host)
    file = lease.read(host.settings.run)
    if told is None or file is None or not file.is_valid(lease.boot_id(), lease.now()):
        return
    if not failsafe.is_due(file.until - lease.now(), told.timing):
        return
    env = _env(host)
    if env is not None and at_once(failsafe.extend(env)):
        log.info("etcd does not renew the lease: it goes on by the word of the other members")


def _told(host: Host) -> Armed | None:
    try:
        return host.lease.told()
    except McvError:
        return None


def promise(host: Host, head: str, sender: str) -> Promise:
    """Answer a member whose lease runs out."""
    env = _env(host)
    if env is None:
        return Promise(promised=False)
    watch = host.leases.watch(env, env.cluster)
    return Promise(promised=at_once(failsafe.promise(env, watch, sender, head)))


def renew(host: Host, boot: str, sender: str) -> Renewal:
    """Write the lease of a member anew that does not reach etcd itself."""
    env = _env(host)
    if env is None or sender not in host.read().online:
        return Renewal(renewed=False)
    return Renewal(renewed=at_once(failsafe.renew(env, sender, boot)))
