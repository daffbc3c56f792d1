"""The document on disk: the committed one, the proposal, and the generations before."""

import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from mcv.document import schema
from mcv.document.history import History, on_disk
from mcv.document.model import Cluster, decode, digest
from mcv.errors import McvError, Refused, Unreadable
from mcv.system import files

Store_ = TypeVar("Store_", bound="Store")
P = ParamSpec("P")
A = TypeVar("A")


def _of_whole_store(
    method: Callable[Concatenate[Store_, P], A],
) -> Callable[Concatenate[Store_, P], A]:
    """A method that writes: under the lock, and with damage it raises that instead."""

    @functools.wraps(method)
    def guarded(self: Store_, /, *args: P.args, **params: P.kwargs) -> A:
        with self.lock:
            if self.damage is not None:
                raise self.damage
            return method(self, *args, **params)

    return guarded


class Store:
    """One node's copy of the document. Every write is durable before it returns.

    `config.json` is committed; `proposal.json` is accepted and not known to be committed;
    `history/` holds the earlier generations, and the present one under its hash.
    """

    def __init__(self, directory: Path, history: int) -> None:
        self._directory = directory
        self.lock = threading.RLock()
        self._committed: tuple[Cluster, str] | None = None
        self._proposal: tuple[Cluster, str] | None = None
        self._is_proposal_read = False
        self._damage: McvError | None = None
        files.make_durable(directory)
        self._history = History(directory / "history", history)

    @property
    def path(self) -> Path:
        return self._directory / "config.json"

    @property
    def _proposal_path(self) -> Path:
        return self._directory / "proposal.json"

    def exists(self) -> bool:
        """Whether this node has a document, readable or not."""
        return os.path.lexists(self.path) or self.newest_good() is not None

    @property
    def damage(self) -> McvError | None:
        """Why the committed document or the proposal cannot be read; None where both can.

        With damage the store serves the newest good generation of the history, and writes
        nothing: what this node has accepted or committed is not known.
        """
        return self._damage

    def inspect(self) -> McvError | None:
        """Read both files; the damage, for the rest of this process, where one cannot be."""
        with self.lock:
            try:
                self.committed()
                self.proposal()
            except McvError as error:
                good = self.newest_good()
                way_out = (
                    f"Put the disk right, then: cp {good[1]} {self.path}; systemctl restart mcvd"
                    if good and self._committed is None
                    else f"Look at {self._directory}; then: systemctl restart mcvd"
                )
                self._damage = Unreadable(error.message, error.hint or way_out)
                self._committed = self._committed or (good and (good[0], digest(good[0])))
                self._proposal, self._is_proposal_read = None, True
            return self._damage

    def committed(self) -> tuple[Cluster, str]:
        """The committed document and its hash.

        Raises Refused, naming the line or the place at fault, where the file cannot be read.
        """
        with self.lock:
            if self._committed is None:
                self._committed = self._load()
            return self._committed

    def _load(self) -> tuple[Cluster, str]:
        text = files.read_or_none(self.path)
        if text is None:
            raise Refused(f"There is no {self.path}.")
        cluster = _decoded(self.path, text)
        return cluster, digest(cluster)

    def fault(self) -> McvError | None:
        """What is wrong with the committed file: torn, no document, or edited by hand.

        Every committed document stands in the history under its hash, so a document that
        does not has been changed since.
        """
        try:
            cluster, hash_ = self.committed()
        except McvError as error:
            return error
        if self._history.holds(cluster.generation, hash_):
            return None
        good = self.newest_good()
        line = _first_difference(files.read_or_none(self.path) or "", good)
        return Refused(f"{self.path}: it was edited by hand, first in line {line}.")

    def newest_good(self) -> tuple[Cluster, Path] | None:
        """The newest generation in the history that is what its name says, and its file."""
        return self._history.newest_good()

    def fall_back(self, cluster: Cluster) -> None:
        """Put the faulty file aside and begin from a good generation; the peers have the rest."""
        with self.lock:
            aside = self.path.with_name(f"config.json.faulty-{int(time.time())}")
            files.rename(self.path, aside)
            self._put(cluster)

    def read(self) -> Cluster:
        """The committed document."""
        return self.committed()[0]

    def hash(self) -> str:
        """The hash of the committed document."""
        return self.committed()[1]

    def proposal(self) -> tuple[Cluster, str] | None:
        """The document, and its hash, that was accepted here and is not known to be committed."""
        with self.lock:
            if not self._is_proposal_read:
                text = files.read_or_none(self._proposal_path)
                if text is not None:
                    cluster = _decoded(self._proposal_path, text)
                    self._proposal = (cluster, digest(cluster))
                self._is_proposal_read = True
            return self._proposal

    def both(self) -> list[Cluster]:
        """The committed document and the proposal, if any: a node acts on what both allow."""
        with self.lock:
            proposal = self.proposal()
            return [self.read(), *([proposal[0]] if proposal else [])]

    def held(self) -> list[tuple[Cluster, str]]:
        """As `both`, with their hashes, as they are at one instant."""
        with self.lock:
            proposal = self.proposal()
            return [self.committed(), *([proposal] if proposal else [])]

    @_of_whole_store
    def begin(self, cluster: Cluster) -> None:
        """Write a document that owes nothing to the one before; a proposal is dropped.

        The generations before stay, set apart: they are not this cluster's.
        """
        with self.lock:
            self._put(cluster)
            self.drop_proposal()
            self._history.set_apart(cluster)

    @_of_whole_store
    def propose(self, cluster: Cluster) -> None:
        """Write a proposal, in the place of an earlier one."""
        with self.lock:
            files.write_atomically(self._proposal_path, on_disk(cluster))
            self._proposal, self._is_proposal_read = (cluster, digest(cluster)), True

    @_of_whole_store
    def commit(self) -> Cluster:
        """Make the proposal the committed document in one rename; none has no effect."""
        with self.lock:
            proposal = self.proposal()
            if proposal is None:
                return self.read()
            # A copy, no link: an editor that writes in place leaves the other file whole.
            self._history.write(proposal[0])
            _keep_last_of_its_schema(self.path, self.read(), proposal[0])
            files.rename(self._proposal_path, self.path)
            self._committed, self._proposal = proposal, None
            self._history.forget_old(proposal[0].generation, proposal[1])
            return proposal[0]

    @_of_whole_store
    def adopt(self, cluster: Cluster, between: list[Cluster]) -> None:
        """Take a newer committed document, with the history between.

        A proposal that it contains, or excludes, is dropped and kept in the history.
        """
        with self.lock:
            for each in between:
                self._history.write(each)
            _keep_last_of_its_schema(self.path, self.read(), cluster)
            self._put(cluster)
            self.drop_proposal()

    @_of_whole_store
    def remember(self, cluster: Cluster) -> None:
        """Keep a document in the history, where a later one is made over it."""
        with self.lock:
            self._history.write(cluster)

    @_of_whole_store
    def drop_proposal(self) -> None:
        """Remove the proposal; it stays in the history, marked unless it is in the lineage."""
        with self.lock:
            proposal = self.proposal()
            if proposal is None:
                return
            if proposal[1] in (self.read().parent, self.hash()):
                self._history.write(proposal[0])
            else:
                self._history.write_dropped(proposal[0])
            files.remove(self._proposal_path)
            self._proposal = None

    def generations(self) -> list[Cluster]:
        """The lineage as far as it is kept, the newest first."""
        with self.lock:
            cluster = self.read()
            return [cluster, *self._history.ancestors(cluster)]

    def since(self, hash_: str, limit: int = 50, of: Cluster | None = None) -> list[Cluster]:
        """The generations between a hash and a document, at most limit of them.

        The document is the committed one unless it is given.
        """
        with self.lock:
            return self._history.since(hash_, of or self.read(), limit)

    def _put(self, cluster: Cluster) -> None:
        self._history.write(cluster)
        files.write_atomically(self.path, on_disk(cluster))
        self._committed = (cluster, digest(cluster))


def _keep_last_of_its_schema(path: Path, old: Cluster, new: Cluster) -> None:
    """Keep the committed document where the next has another schema: an older mcv reads it."""
    if old.schema != new.schema:
        files.write_atomically(path.with_name(f"config.json.schema-{old.schema}"), on_disk(old))


def _decoded(path: Path, text: str) -> Cluster:
    try:
        schema.check(text)
        return decode(text)
    except Refused as error:
        raise Refused(f"{path}: {error.message}", error.hint) from error


def _first_difference(text: str, good: tuple[Cluster, Path] | None) -> int:
    lines = text.splitlines()
    good_lines = on_disk(good[0]).splitlines() if good else []
    for number, (line, good_line) in enumerate(zip(lines, good_lines, strict=False), 1):
        if line != good_line:
            return number
    return len(lines)
