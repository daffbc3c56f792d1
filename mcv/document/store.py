"""The document on disk: the settled one, the one accepted, and the generations before."""

import contextlib
import threading
import time
from pathlib import Path

import msgspec

from mcv.document import schema
from mcv.document.model import Cluster, decode, digest, encode
from mcv.errors import Refused
from mcv.system import files

DROPPED = "-dropped.json"


def on_disk(cluster: Cluster) -> str:
    """The document as it stands in a file: the same values, laid out for human eyes."""
    return msgspec.json.format(encode(cluster), indent=2) + "\n"


class Store:
    """One node's copy of the document. Every write is durable before it returns.

    `config.json` is settled; `proposal.json` is accepted and not yet known to be settled;
    `history/` holds the earlier generations, and the present one under its hash.
    """

    def __init__(self, directory: Path, history: int) -> None:
        self._directory = directory
        self._keep = history
        self._lock = threading.RLock()
        self._committed: tuple[Cluster, str] | None = None
        self._proposal: tuple[Cluster, str] | None = None
        self._looked = False
        self._kept: list[Path] | None = None  # the history's files, the oldest first
        for one in (directory, self._history):
            files.make_durable(one)

    @property
    def path(self) -> Path:
        return self._directory / "config.json"

    @property
    def _proposal_path(self) -> Path:
        return self._directory / "proposal.json"

    @property
    def _history(self) -> Path:
        return self._directory / "history"

    def exists(self) -> bool:
        return self.path.exists()

    def committed(self) -> tuple[Cluster, str]:
        """The settled document and its hash. An older schema's is upgraded, the old file kept.

        Raises Refused, naming the line or the place at fault, where the file cannot be read.
        """
        with self._lock:
            if self._committed is None:
                self._committed = self._load()
            return self._committed

    def _load(self) -> tuple[Cluster, str]:
        text = files.read_or_none(self.path)
        if text is None:
            raise Refused(f"There is no {self.path}.")
        try:
            newest = schema.upgraded(text)
            cluster = decode(newest)
        except Refused as error:
            raise Refused(f"{self.path}: {error.message}", error.hint) from error
        if newest is not text:
            old = self.path.with_name(f"config.json.schema-{schema.version_of(text)}")
            files.write_atomically(old, text)
            self._put(cluster)
        return cluster, digest(cluster)

    def fault(self) -> Refused | None:
        """What is wrong with the settled file: torn, no document, or edited by hand.

        Every settled document stands in the history under its hash, so one that does not
        has been changed since.
        """
        try:
            cluster, hash_ = self.committed()
        except Refused as error:
            return error
        if self._entry(cluster.generation, hash_).exists():
            return None
        good = self.newest_good()
        line = _first_difference(self.path.read_text(encoding="utf-8"), good)
        return Refused(f"{self.path}: it was edited by hand, first in line {line}.")

    def newest_good(self) -> tuple[Cluster, Path] | None:
        """The newest generation in the history that is what its name says, and its file."""
        for path in sorted(self._history.glob("*.json"), key=_age, reverse=True):
            if path.name.endswith(DROPPED):
                continue
            with contextlib.suppress(Refused, OSError):
                cluster = decode(path.read_bytes())
                if path == self._entry(cluster.generation, digest(cluster)):
                    return cluster, path
        return None

    def fall_back(self, cluster: Cluster) -> None:
        """Put the faulty file aside and begin from a good generation; the peers have the rest."""
        with self._lock:
            aside = self.path.with_name(f"config.json.faulty-{int(time.time())}")
            files.rename(self.path, aside)
            self._put(cluster)

    def read(self) -> Cluster:
        return self.committed()[0]

    def hash(self) -> str:
        return self.committed()[1]

    def proposal(self) -> tuple[Cluster, str] | None:
        """The document that was accepted here and is not known to be settled, if any."""
        with self._lock:
            if not self._looked:
                text = files.read_or_none(self._proposal_path)
                if text is not None:
                    cluster = decode(text)
                    self._proposal = (cluster, digest(cluster))
                self._looked = True
            return self._proposal

    def both(self) -> list[Cluster]:
        """What a node acts on must be allowed by each of these: settled, and proposed."""
        with self._lock:
            proposal = self.proposal()
            return [self.read(), *([proposal[0]] if proposal else [])]

    def held(self) -> list[tuple[Cluster, str]]:
        """The settled document and the proposal, if any, as they are at one instant."""
        with self._lock:
            proposal = self.proposal()
            return [self.committed(), *([proposal] if proposal else [])]

    def begin(self, cluster: Cluster) -> None:
        """Write the first document of a node, or the one that ends its membership; what
        was accepted before it is over."""
        with self._lock:
            self._put(cluster)
            self.drop_proposal()

    def propose(self, cluster: Cluster) -> None:
        with self._lock:
            files.write_atomically(self._proposal_path, on_disk(cluster))
            self._proposal, self._looked = (cluster, digest(cluster)), True

    def commit(self) -> Cluster:
        """Make the proposal the settled document in one rename."""
        with self._lock:
            proposal = self.proposal()
            if proposal is None:
                return self.read()
            # A copy, no link: who edits one of the files in place leaves the other whole.
            self._write_history(proposal[0])
            files.rename(self._proposal_path, self.path)
            self._committed, self._proposal = proposal, None
            self._forget_old()
            return proposal[0]

    def adopt(self, cluster: Cluster, between: list[Cluster]) -> None:
        """Take a newer settled document, with the history between; a proposal that it
        contains, or excludes, is over and kept in history."""
        with self._lock:
            for one in between:
                self._write_history(one)
            self._put(cluster)
            self.drop_proposal()

    def remember(self, cluster: Cluster) -> None:
        """Keep a document in the history, where a later one is made over it."""
        with self._lock:
            self._write_history(cluster)

    def drop_proposal(self) -> None:
        """Forget what was accepted; it stays in the history, marked where it never was
        part of the lineage."""
        with self._lock:
            proposal = self.proposal()
            if proposal is None:
                return
            settled = self.read()
            if settled.parent == proposal[1] or self.hash() == proposal[1]:
                self._write_history(proposal[0])
            else:
                entry = self._entry(proposal[0].generation, proposal[1])
                dropped = entry.with_name(entry.name.removesuffix(".json") + DROPPED)
                self._keep_file(dropped, proposal[0])
            files.remove(self._proposal_path)
            self._proposal = None

    def generations(self) -> list[Cluster]:
        """The lineage as far as it is kept, the newest first."""
        with self._lock:
            cluster = self.read()
            found = [cluster]
            while (path := self._entry(cluster.generation - 1, cluster.parent)).exists():
                cluster = decode(path.read_bytes())
                found.append(cluster)
            return found

    def since(self, hash_: str, limit: int = 50) -> list[Cluster]:
        """The generations between a hash and the settled one, at most limit of them."""
        with self._lock:
            cluster = self.read()
            found: list[Cluster] = []
            while cluster.parent != hash_ and len(found) < limit:
                path = self._entry(cluster.generation - 1, cluster.parent)
                if not path.exists():
                    break
                cluster = decode(path.read_bytes())
                found.append(cluster)
            return found[::-1]

    def _put(self, cluster: Cluster) -> None:
        self._write_history(cluster)
        files.write_atomically(self.path, on_disk(cluster))
        self._committed = (cluster, digest(cluster))

    def _entry(self, generation: int, hash_: str) -> Path:
        return self._history / f"{generation:08d}-{hash_[:16]}.json"

    def _write_history(self, cluster: Cluster) -> None:
        path = self._entry(cluster.generation, digest(cluster))
        if not path.exists():
            self._keep_file(path, cluster)

    def _keep_file(self, path: Path, cluster: Cluster) -> None:
        files.write_atomically(path, on_disk(cluster))
        if self._kept is not None:
            self._kept.append(path)

    def _forget_old(self) -> None:
        """Keep as many generations as mcv.conf says: the oldest written go first."""
        if self._kept is None:
            self._kept = sorted(self._history.glob("*.json"), key=_age)
        while len(self._kept) > self._keep:
            self._kept.pop(0).unlink(missing_ok=True)


def _age(path: Path) -> tuple[float, str]:
    """The order in which files of the history were written: generations begin anew at times."""
    return path.stat().st_mtime, path.name


def _first_difference(text: str, good: tuple[Cluster, Path] | None) -> int:
    lines = text.splitlines()
    for number, (mine, theirs) in enumerate(
        zip(lines, on_disk(good[0]).splitlines() if good else [], strict=False), 1
    ):
        if mine != theirs:
            return number
    return len(lines)
