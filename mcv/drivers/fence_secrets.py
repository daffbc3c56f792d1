"""What fence devices are reached with and nobody is to see: passwords and keys, below pki/.

The document has the name of each set of secrets, which is random, and nothing else of them. A set
is kept before the document names it, so that no node ever has a device without its secrets for
longer than it takes to fetch them.
"""

import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from mcv.document.fencing import FenceDevice
from mcv.drivers.fence_agents import Instance
from mcv.drivers.fence_metadata import FILES
from mcv.errors import Refused, in_words
from mcv.system import files

Secrets = dict[str, str]
YOUNG = 900.0  # s for which a set is kept that no document names: it may be about to


class FenceSecrets:
    """The sets of secrets of this node: a file for each, and one for each key that it holds."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, device: str, id: str, secrets: Secrets) -> None:
        """Keep a set; an agent reads keys from a file of their own."""
        for key in sorted(set(secrets) & set(FILES)):
            files.write_atomically(self._path(device, id, key), secrets[key])
        text = msgspec.json.encode(secrets).decode()
        files.write_atomically(self._path(device, id, "json"), text)

    def read(self, device: str, id: str) -> Secrets | None:
        """A set; None where this node does not have it. Raises Unreadable."""
        return files.read_as(self._path(device, id, "json"), Secrets)

    def instance(self, name: str, device: FenceDevice, port: str = "") -> Instance:
        """A plug as an agent is told of it. Raises Refused where this node lacks the secrets."""
        secrets = self.read(name, device.secret_id) if device.secrets else {}
        if secrets is None or set(secrets) != set(device.secrets):
            raise Refused(
                f"This node does not have the secrets of the fence device {name}.",
                f"It fetches them by itself, or: mcv fence device set {name} --secret-file F",
            )
        return self.given(name, device, secrets, port)

    def given(
        self, name: str, device: FenceDevice, secrets: Mapping[str, str], port: str = ""
    ) -> Instance:
        """The same with a set that is at hand; its keys are kept already."""
        paths = {
            key: str(self._path(name, device.secret_id, key)) for key in FILES if key in secrets
        }
        words = {key: value for key, value in secrets.items() if key not in FILES}
        return Instance(device.agent, {**device.parameters, **paths}, words, port)

    def drop(self, device: str, id: str) -> None:
        """Remove a set."""
        for what in ("json", *FILES):
            files.remove(self._path(device, id, what))

    def tidy(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Remove every set that is neither wanted nor young."""
        kept = {f"{device}.{id}" for device, id in wanted}
        with in_words(self._directory):
            found = list(self._directory.iterdir()) if self._directory.is_dir() else []
        for path in found:
            is_draft = path.name.startswith(".")
            of_set = ".".join(path.name.lstrip(".").split(".")[:2])
            if (is_draft or of_set not in kept) and _age(path) > YOUNG:
                files.remove(path)

    def forget(self) -> None:
        """Remove all: this node is no member any more."""
        with in_words(self._directory):
            if self._directory.exists():
                shutil.rmtree(self._directory)

    def _path(self, device: str, id: str, what: str) -> Path:
        return files.child(self._directory, f"{device}.{id}.{what}")


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0
