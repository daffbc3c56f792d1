"""The generations that a node keeps, one file each, under their number and their hash."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from mcv.document.lineage import relation
from mcv.document.model import Cluster, decode, digest, encode
from mcv.errors import McvError
from mcv.system import files

DROPPED = "-dropped.json"
FORMER = "-former.json"


def on_disk(cluster: Cluster) -> str:
    """The document as it stands in a file: the same values, laid out for human eyes."""
    return msgspec.json.format(encode(cluster), indent=2) + "\n"


class History:
    """The documents before the committed one, and a copy of that document itself.

    A file is written once, durably. The oldest go when there are more than `keep`. What is
    old or new is told by numbers, hashes and epochs, never by a file's time: a clock may
    have been set back.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self._directory = directory
        self._keep = keep
        self._kept: list[Path] | None = None  # the oldest first
        files.make_durable(directory)

    def holds(self, generation: int, hash_: str) -> bool:
        """Whether the generation with this hash is kept."""
        return os.path.lexists(self._entry(generation, hash_))

    def write(self, cluster: Cluster) -> None:
        """Keep a document; without effect where it is kept already."""
        path = self._entry(cluster.generation, digest(cluster))
        if not path.exists():
            self._write(path, cluster)

    def write_dropped(self, cluster: Cluster) -> None:
        """Keep a proposal that was dropped, marked as no part of the lineage."""
        entry = self._entry(cluster.generation, digest(cluster))
        self._write(_marked(entry, DROPPED), cluster)

    def set_apart(self, cluster: Cluster) -> None:
        """Mark all but this document as of an earlier cluster, which this node is no part of."""
        begun = self._entry(cluster.generation, digest(cluster))
        for path in self._directory.glob("*.json"):
            if path != begun and not path.name.endswith((DROPPED, FORMER)):
                files.rename(path, _marked(path, FORMER))
        self._kept = None

    def ancestors(self, cluster: Cluster) -> list[Cluster]:
        """The ancestors of a document as far as they are kept without a gap, the newest first."""
        ancestors: list[Cluster] = []
        while parent := self._parent(cluster):
            ancestors.append(parent)
            cluster = parent
        return ancestors

    def _parent(self, cluster: Cluster) -> Cluster | None:
        """The parent, where it is kept; a file that cannot be read is put aside."""
        path = self._entry(cluster.generation - 1, cluster.parent)
        try:
            text = files.read_or_none(path)
            return None if text is None else decode(text)
        except McvError as error:
            files.set_aside(path, f"{path.name}: {error.message}")
            self._kept = None
            return None

    def since(self, hash_: str, cluster: Cluster, limit: int) -> list[Cluster]:
        """The generations after a hash and before a document, the newest `limit` of them."""
        ancestors: list[Cluster] = []
        while cluster.parent != hash_ and len(ancestors) < limit:
            parent = self._parent(cluster)
            if parent is None:
                break
            ancestors.append(parent)
            cluster = parent
        return ancestors[::-1]

    def newest_good(self) -> tuple[Cluster, Path] | None:
        """The newest generation whose content has the hash in its name, and its file.

        Newer means: descends from. Of two that have no common past the later is not known
        from their content: a document of more members is taken, then a higher epoch.
        """
        newest: tuple[Cluster, Path] | None = None
        for path in sorted(self._directory.glob("*.json")):
            good = self._good(path)
            if good and (newest is None or _is_newer(good, newest[0])):
                newest = good, path
        return newest

    def _good(self, path: Path) -> Cluster | None:
        """The document in a file; None for a marked one, and where the hash is another."""
        if path.name.endswith((DROPPED, FORMER)):
            return None
        with contextlib.suppress(McvError):
            cluster = decode(files.read_or_none(path) or "")
            if path == self._entry(cluster.generation, digest(cluster)):
                return cluster
        return None

    def forget_old(self, generation: int, hash_: str) -> None:
        """Remove the oldest generations that are more than mcv.conf says.

        `generation` and `hash_` are those of the committed document, whose file stays: by
        it a document that was edited by hand is told from one that was not.
        """
        committed = self._entry(generation, hash_)
        if self._kept is None:
            self._kept = sorted(self._directory.glob("*.json"), key=_age(generation))
        if committed in self._kept:
            self._kept.remove(committed)
            self._kept.append(committed)
        while len(self._kept) > max(self._keep, 1):
            with contextlib.suppress(OSError):  # a directory, say: it costs no generation
                self._kept.pop(0).unlink()

    def _entry(self, generation: int, hash_: str) -> Path:
        return self._directory / f"{generation:08d}-{hash_[:16]}.json"

    def _write(self, path: Path, cluster: Cluster) -> None:
        files.write_atomically(path, on_disk(cluster))
        if self._kept is not None:
            self._kept.append(path)


def _marked(path: Path, suffix: str) -> Path:
    return path.with_name(path.name.removesuffix(".json") + suffix)


def _is_newer(cluster: Cluster, other: Cluster) -> bool:
    stands = relation(other, digest(other), cluster, digest(cluster))
    return stands == "newer" or (stands == "diverged" and _weight(cluster) > _weight(other))


def _weight(cluster: Cluster) -> tuple[int, int, int]:
    return len(cluster.nodes), cluster.epoch.number, cluster.generation


def _age(committed: int) -> Callable[[Path], tuple[bool, int, str]]:
    """The order in which files are forgotten, the oldest first, by the committed generation.

    A child's number is its parent's and one: numbers above the committed one belong to
    another lineage. So does what is marked as of an earlier cluster.
    """

    def age(path: Path) -> tuple[bool, int, str]:
        number = path.name.partition("-")[0]
        generation = int(number) if number.isdecimal() else 0
        is_of_lineage = generation <= committed and not path.name.endswith(FORMER)
        return is_of_lineage, generation, path.name

    return age
