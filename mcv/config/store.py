"""The document on disk: the settled one, the one accepted, and the generations before."""

import contextlib
import os
import threading
from pathlib import Path

import msgspec

from mcv.errors import Refused
from mcv.model import Cluster, decode, digest, encode
from mcv.system import files


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
        self._settled: tuple[Cluster, str] | None = None
        self._proposed: tuple[Cluster, str] | None = None
        self._looked = False

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

    def settled(self) -> tuple[Cluster, str]:
        """The settled document and its hash."""
        with self._lock:
            if self._settled is None:
                text = files.read_or_none(self.path)
                if text is None:
                    raise Refused(f"There is no {self.path}.")
                try:
                    cluster = decode(text)
                except Refused as error:
                    raise Refused(f"{self.path}: {error}", self._offer()) from error
                self._settled = (cluster, digest(cluster))
            return self._settled

    def read(self) -> Cluster:
        return self.settled()[0]

    def hash(self) -> str:
        return self.settled()[1]

    def proposed(self) -> tuple[Cluster, str] | None:
        """The document that was accepted here and is not known to be settled, if any."""
        with self._lock:
            if not self._looked:
                text = files.read_or_none(self._proposal_path)
                if text is not None:
                    cluster = decode(text)
                    self._proposed = (cluster, digest(cluster))
                self._looked = True
            return self._proposed

    def both(self) -> list[Cluster]:
        """What a node acts on must be allowed by each of these: settled, and proposed."""
        with self._lock:
            proposal = self.proposed()
            return [self.read(), *([proposal[0]] if proposal else [])]

    def begin(self, cluster: Cluster) -> None:
        """Write the first document of a node, or the one that ends its membership; what
        was accepted before it is over."""
        with self._lock:
            self._put(cluster)
            self.drop_proposal()

    def propose(self, cluster: Cluster) -> None:
        with self._lock:
            files.write_atomically(self._proposal_path, on_disk(cluster))
            self._proposed, self._looked = (cluster, digest(cluster)), True

    def settle(self) -> Cluster:
        """Make the proposal the settled document in one rename."""
        with self._lock:
            proposal = self.proposed()
            if proposal is None:
                return self.read()
            self._remember(self._proposal_path, *proposal)
            files.rename(self._proposal_path, self.path)
            self._settled, self._proposed = proposal, None
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
        with self._lock:
            proposal = self.proposed()
            if proposal is None:
                return
            self._remember(self._proposal_path, *proposal)
            files.remove(self._proposal_path)
            self._proposed = None

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
        self._settled = (cluster, digest(cluster))

    def _entry(self, generation: int, hash_: str) -> Path:
        return self._history / f"{generation:08d}-{hash_[:16]}.json"

    def _write_history(self, cluster: Cluster) -> None:
        path = self._entry(cluster.generation, digest(cluster))
        if not path.exists():
            files.write_atomically(path, on_disk(cluster))

    def _remember(self, source: Path, cluster: Cluster, hash_: str) -> None:
        self._history.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.link(source, self._entry(cluster.generation, hash_))
            files.sync_directory(self._history)

    def _forget_old(self) -> None:
        kept = sorted(self._history.glob("*.json"))
        for path in kept[: -self._keep] if len(kept) > self._keep else []:
            path.unlink(missing_ok=True)

    def _offer(self) -> str:
        kept = sorted(self._history.glob("*.json"))
        return f"The newest generation that is kept: {kept[-1]}" if kept else ""
