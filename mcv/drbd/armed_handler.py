"""What DRBD's kernel module is answered on an armed node whose replica has lost its peer.

A guest's I/O stands still meanwhile, so nothing but the standard library is imported before the
first decision: the small file that mcvd keeps, the lease's file, and etcd. A peer that listens is
asked over the members' wire.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mcv.ha import handler_facts, peer_loss
from mcv.ha.at_once import at_once
from mcv.ha.env import Answer, Entry, Facts, HandlerEnv, Txn
from mcv.ha.handler_facts import HandlerFacts
from mcv.ha.peer_loss import ALONE, FENCED, OUTDATED, REFUSE
from mcv.ha.plain_etcd import PlainEtcd
from mcv.ha.values import HEAD
from mcv.system import lease
from mcv.system.lease import LeaseFile

PROC = Path("/proc/drbd")
PATIENCE = 540.0  # s: drbdadm ends a handler after 600
BRIEF = 5.0  # s for a promotion, which holds the start gate meanwhile
SECOND = 10.0  # s that a second handler of a resource waits for the first
PROBE = 0.25  # s for a connection to the peer's daemon
AT_ONCE = 0.03  # s of it for a peer that is there, as a rule
NOTICE = 20.0  # s in which the peer's kernel notices the loss, and its daemon reads the document
WORDS = {
    OUTDATED: "its peer has outdated its replica",
    ALONE: "its peer is not to be reached, and marked as behind",
    FENCED: "its peer is offline in the document, and marked as behind",
    REFUSE: "no verdict",
}
# What /proc/drbd calls a connection that is there.
CONNECTED = re.compile(
    r"Connected|Sync|Paused|Verify|WFBitMap|WFSyncUUID|Ahead|Behind|StartingSync"
)


class PeerIsBack(Exception):
    """The peer is connected again: the kernel needs no verdict."""


class NodeHandlerEnv:
    """A node's side of mcv/ha/peer_loss.py; the head's value is the hash of its document."""

    def __init__(self, state: Path, facts: HandlerFacts) -> None:
        self._state = state
        self._facts = facts
        self._etcd = PlainEtcd(facts.prefix, facts.voters, facts.certificate, facts.key)
        self._began = lease.now()
        self.node = facts.node
        self.boot = lease.boot_id()

    async def now(self) -> float:
        return lease.now()

    async def sleep(self, seconds: float) -> None:
        """Let time pass; raises PeerIsBack."""
        time.sleep(seconds)
        if CONNECTED.match(self._seen()[0]):
            raise PeerIsBack

    async def say(self, text: str) -> None:
        say(text)

    async def lease_file(self) -> LeaseFile | None:
        return lease.read(Path(self._facts.run))

    async def txn(self, txn: Txn) -> Answer:
        answer = self._etcd.txn(txn)
        if (head := answer.entries.get(HEAD)) is not None:
            answer.entries[HEAD] = Entry(_hash_in(head.value), head.revision)
        return answer

    async def facts(self, resource: str) -> Facts | None:
        """By the file as it is now: what was declared meanwhile counts."""
        with contextlib.suppress(OSError, ValueError):
            self._facts = handler_facts.read(self._state) or self._facts
        known = self._facts.resources.get(resource)
        if known is None:
            return None
        return Facts(
            owner=known.owner,
            peer=known.peer,
            peer_is_offline=known.peer_is_offline,
            head=self._facts.head,
            waits=self._facts.waits,
            is_online=self._facts.is_online,
            when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )

    async def outdate(self, resource: str, peer: str) -> bool | None:
        """Ask the peer's daemon, if it listens.

        A daemon that refuses may not have read the document yet, and a kernel that calls the
        replica UpToDate may not have noticed the loss: both get some time.
        """
        address = (self._facts.addresses.get(peer, ""), self._facts.port)
        if not _listens(address, self._etcd.connect):
            return None
        from mcv.drbd import asking

        answer = asking.outdated(self._facts.node, self._state, resource, peer)
        if answer is asking.Outdated.LATER and lease.now() > self._began + NOTICE:
            return None
        if answer in (asking.Outdated.SILENT, asking.Outdated.GONE):
            return None
        return answer is asking.Outdated.YES

    @property
    def is_primary(self) -> bool:
        """Whether this node's replica is in use; so too where that cannot be told."""
        return self._seen()[1] != "Secondary"

    def _seen(self) -> tuple[str, str]:
        """Connection and role by DRBD 8.4's /proc/drbd; of 9 nothing is known there."""
        minor = os.environ.get("DRBD_MINOR", "")
        try:
            text = PROC.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "", ""
        found = re.search(rf"^ *{re.escape(minor)}: cs:(\S+) ro:(\w+)/", text, re.M)
        return (found[1], found[2]) if found and minor else ("", "")


def _listens(address: tuple[str, int], meanwhile: Callable[[], None]) -> bool:
    """Whether somebody accepts a connection within PROBE s.

    A peer that is there does so at once; `meanwhile` is done while one that is not is waited for.
    """
    until = time.monotonic() + PROBE
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setblocking(False)
        try:
            begun = probe.connect_ex(address)
        except OSError:  # no address
            return False
        if begun not in (0, errno.EINPROGRESS):
            return False
        if not (ready := select.select([], [probe], [], AT_ONCE)[1]):
            meanwhile()
            ready = select.select([], [probe], [], max(0.0, until - time.monotonic()))[1]
        return bool(ready) and probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def _hash_in(head: str) -> str:
    try:
        found = json.loads(head)["hash"]
    except (ValueError, TypeError, KeyError):
        return ""
    return found if isinstance(found, str) else ""


class Way(NamedTuple):
    """How an armed node decides: with leases in etcd, where nothing else is given."""

    env: Callable[[Path, HandlerFacts], NodeHandlerEnv] = NodeHandlerEnv
    decide: Callable[[HandlerEnv, str, float], Coroutine[Any, Any, int]] = peer_loss.decide
    words: Mapping[int, str] = WORDS


WITH_LEASES = Way()


def answer(resource: str, state: Path, facts: HandlerFacts, way: Way = WITH_LEASES) -> int:
    """The exit code on an armed node.

    A second handler of the same resource answers no more than REFUSE while the first is there.
    """
    with _alone_at_work(Path(facts.run), resource) as is_alone:
        if not is_alone:
            say(f"fence-peer {resource}: {REFUSE}, another handler is at work")
            return REFUSE
        env = way.env(state, facts)
        try:
            code = at_once(way.decide(env, resource, PATIENCE if env.is_primary else BRIEF))
            why = way.words[code]
        except PeerIsBack:
            code, why = REFUSE, "its peer is connected again"
        if code == ALONE:
            _note(state / "notes", resource, why)
    say(f"fence-peer {resource}: {code}, {why}")
    return code


@contextlib.contextmanager
def _alone_at_work(run: Path, resource: str) -> Iterator[bool]:
    """Hold the resource's lock; False where another handler still holds it after SECOND s."""
    directory = run / "drbd"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = directory / f"{resource}.handler"
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    until = time.monotonic() + SECOND
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_alone = True
                break
            except BlockingIOError:
                is_alone = False
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        yield is_alone
    finally:
        os.close(fd)


def _note(notes: Path, resource: str, why: str) -> None:
    """Note for people that this node goes on alone; what cannot be written holds nothing up."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        notes.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = notes / f".{resource}.alone.draft"
        draft.write_text(json.dumps({"since": since, "why": why}))
        draft.rename(notes / f"{resource}.alone.json")
    except OSError as error:
        say(f"fence-peer {resource}: the note is not written: {error}")


def say(text: str) -> None:
    print(f"mcv: {text}", file=sys.stderr)
