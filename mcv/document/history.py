"""The generations that a node keeps, one file each, under their number and their hash."""

import contextlib
from pathlib import Path

import msgspec

from mcv.document.model import Cluster, decode, digest, encode
from mcv.errors import Refused
from mcv.system import files

DROPPED = "-dropped.json"


def on_disk(cluster: Cluster) -> str:
    """The document as it stands in a file: the same values, laid out for human eyes."""
    return msgspec.json.format(encode(cluster), indent=2) + "\n"


class History:
    """The documents before the committed one, and a copy of that document itself.

    A file is written once, durably. The oldest written go when there are more than `keep`.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self._directory = directory
        self._keep = keep
        self._kept: list[Path] | None = None  # the oldest first
        files.make_durable(directory)

    def holds(self, generation: int, hash_: str) -> bool:
        """Whether the generation with this hash is kept."""
        return self._entry(generation, hash_).exists()

    def write(self, cluster: Cluster) -> None:
        """Keep a document; without effect where it is kept already."""
        path = self._entry(cluster.generation, digest(cluster))
        if not path.exists():
            self._write(path, cluster)

    def write_dropped(self, cluster: Cluster) -> None:
        """Keep a proposal that was dropped, marked as no part of the lineage."""
        entry = self._entry(cluster.generation, digest(cluster))
        self._write(entry.with_name(entry.name.removesuffix(".json") + DROPPED), cluster)

    def ancestors(self, cluster: Cluster) -> list[Cluster]:
        """The ancestors of a document as far as they are kept without a gap, the newest first."""
        ancestors: list[Cluster] = []
        while (path := self._entry(cluster.generation - 1, cluster.parent)).exists():
            cluster = decode(path.read_bytes())
            ancestors.append(cluster)
        return ancestors

    def since(self, hash_: str, cluster: Cluster, limit: int) -> list[Cluster]:
        """The generations after a hash and before a document, the newest `limit` of them."""
        ancestors: list[Cluster] = []
        while cluster.parent != hash_ and len(ancestors) < limit:
            path = self._entry(cluster.generation - 1, cluster.parent)
            if not path.exists():
                break
            cluster = decode(path.read_bytes())
            ancestors.append(cluster)
        return ancestors[::-1]

    def newest_good(self) -> tuple[Cluster, Path] | None:
        """The newest generation whose content has the hash in its name, and its file."""
        for path in sorted(self._directory.glob("*.json"), key=_age, reverse=True):
            if path.name.endswith(DROPPED):
                continue
            with contextlib.suppress(Refused, OSError):
                cluster = decode(path.read_bytes())
                if path == self._entry(cluster.generation, digest(cluster)):
                    return cluster, path
        return None

    def forget_old(self) -> None:
        """Remove the oldest written generations that are more than mcv.conf says."""
        if self._kept is None:
            self._kept = sorted(self._directory.glob("*.json"), key=_age)
        while len(self._kept) > self._keep:
            self._kept.pop(0).unlink(missing_ok=True)

    def _entry(self, generation: int, hash_: str) -> Path:
        return self._directory / f"{generation:08d}-{hash_[:16]}.json"

    def _write(self, path: Path, cluster: Cluster) -> None:
        files.write_atomically(path, on_disk(cluster))
        if self._kept is not None:
            self._kept.append(path)


def _age(path: Path) -> tuple[float, str]:
    """The order in which files were written: numbers of generations begin anew at times."""
    return path.stat().st_mtime, path.name
