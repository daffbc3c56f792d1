"""The known_hosts files of this host, read as OpenSSH reads them: line by line."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko
    from paramiko.hostkeys import HostKeyEntry

log = logging.getLogger(__name__)

REVOKED = "@revoked"


@dataclass(frozen=True)
class KnownHosts:
    """The keys that this host knows, and those that it must never accept again."""

    keys: "paramiko.HostKeys"
    revoked: set[bytes] = field(default_factory=set)

    def knows(self, address: str, key: "paramiko.PKey") -> bool:
        """Whether this very key is known for the address."""
        return self.keys.check(address, key)

    def types(self, address: str) -> set[str]:
        """The types of the keys that are known for an address."""
        return set(self.keys.lookup(address) or {})

    def has_other(self, address: str, key: "paramiko.PKey") -> bool:
        """Whether another key of the same type is known for the address."""
        known = dict(self.keys.lookup(address) or {})
        return known.get(key.get_name()) not in (None, key)

    def is_revoked(self, key: "paramiko.PKey") -> bool:
        """Whether a line revokes this key, for whichever host: sshd shows it nowhere then."""
        return key.asbytes() in self.revoked


def read(paths: Iterable[Path]) -> KnownHosts:
    """Read files; a line of another form, such as a certificate authority, is passed over.

    A revoked key is not among the keys, whatever other lines say.
    """
    import paramiko

    lines = [
        line.decode(errors="replace").strip()
        for path in paths
        if path.exists()
        for line in path.read_bytes().splitlines()
    ]
    found = KnownHosts(paramiko.HostKeys())
    for line in lines:
        marker, _, rest = line.partition(" ")
        if marker == REVOKED and (entry := _entry(rest.strip())) and entry.key:
            found.revoked.add(entry.key.asbytes())
    plain = [_entry(line) for line in lines if not line.startswith(("#", "@"))]
    for entry in plain:
        if entry and entry.key and not found.is_revoked(entry.key):
            _add(found.keys, entry)
    return found


def _entry(line: str) -> "HostKeyEntry | None":
    from paramiko.hostkeys import HostKeyEntry

    try:
        return HostKeyEntry.from_line(line)
    except Exception as error:  # each type of key raises its own for a line that is none
        log.info("a line of a known_hosts file is passed over: %s", error)
        return None


def _add(keys: "paramiko.HostKeys", entry: "HostKeyEntry") -> None:
    kind = entry.key.get_name()
    for name in entry.hostnames or []:
        if not name.startswith("!") and kind not in (keys.lookup(name) or {}):
            keys.add(name, kind, entry.key)
