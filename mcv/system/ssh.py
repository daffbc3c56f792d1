"""The only SSH client: a host key that is known or given, then a command at a time."""

import base64
import contextlib
import hashlib
import hmac
import shlex
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcv.errors import CommandFailed, NeedsPassword, Refused

if TYPE_CHECKING:
    import paramiko

KNOWN = (Path("/root/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))
CONNECT = 10.0


@dataclass(frozen=True)
class HostKey:
    """A host's key as `ssh-keygen -l` prints it, and whether this host knows it."""

    fingerprint: str
    type: str
    known: bool


class Remote:
    """A session on another host, as root."""

    def __init__(self, client: "paramiko.SSHClient", address: str) -> None:
        self._client = client
        self._address = address

    def run(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        """Run a command there and return what it printed.

        Raises CommandFailed with its last words when it exits non-zero or is not there.
        """
        from paramiko import SSHException

        line = shlex.join(command)
        try:
            channel_in, out, err = self._client.exec_command(line, timeout=timeout)
            channel_in.write(stdin)
            channel_in.channel.shutdown_write()
            said, complained = out.read().decode(), err.read().decode()
            code = out.channel.recv_exit_status()
        except (OSError, EOFError, SSHException) as error:
            raise CommandFailed(f"`{line}` on {self._address}: {error or 'no answer'}.") from error
        if code != 0:
            last = (complained.strip() or said.strip()).splitlines()
            raise CommandFailed(f"`{line}` on {self._address} exited with {code}: {' '.join(last)}")
        return said


def fingerprint(key: "paramiko.PKey") -> str:
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def host_key(address: str, known: tuple[Path, ...] = KNOWN) -> HostKey:
    """Return a host's key; raise Refused, before anything is sent, if the known key differs."""
    import paramiko

    keys = _known(known)
    try:
        with socket.create_connection((address, 22), timeout=CONNECT) as sock:
            transport = paramiko.Transport(sock)
            try:
                entry: Any = keys.lookup(address) or {}
                if entry:
                    options = transport.get_security_options()
                    options.key_types = sorted(
                        options.key_types, key=lambda kind: kind not in entry
                    )
                transport.start_client(timeout=CONNECT)
                key = transport.get_remote_server_key()
            finally:
                transport.close()
    except (OSError, paramiko.SSHException) as error:
        raise Refused(f"{address} does not answer to SSH: {error}.") from error
    if entry and entry.get(key.get_name()) not in (None, key):
        raise _changed(address, fingerprint(key))
    return HostKey(fingerprint(key), key.get_name(), keys.check(address, key))


@contextlib.contextmanager
def connect(
    address: str,
    password: str | None,
    expected: str | None,
    known: tuple[Path, ...] = KNOWN,
) -> Iterator[Remote]:
    """Open a session as root. The host's key is judged before the password is sent.

    Raises Refused for a key that is neither known nor expected, or a wrong
    password; NeedsPassword when none was given and root's own key does not open it.
    """
    import paramiko

    client = paramiko.SSHClient()
    if not expected:
        for path in known:
            if path.exists():
                client.load_system_host_keys(str(path))
    client.set_missing_host_key_policy(_judge(address, expected, _known(known)))
    _open(client, address, password)
    try:
        yield Remote(client, address)
    finally:
        client.close()


def _judge(
    address: str, expected: str | None, keys: "paramiko.HostKeys"
) -> "paramiko.MissingHostKeyPolicy":
    """Return the policy for keys unknown to paramiko; for every key if one is expected."""
    import paramiko

    class Judge(paramiko.MissingHostKeyPolicy):
        def missing_host_key(
            self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
        ) -> None:
            shown = fingerprint(key)
            if dict(keys.lookup(address) or {}).get(key.get_name()) not in (None, key):
                raise _changed(address, shown)
            if not expected or not hmac.compare_digest(expected, shown):
                raise Refused(
                    f"The host key of {address} is {shown}, "
                    + (f"not {expected}." if expected else "which is not known here."),
                    "Compare it with: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub, there",
                )

    return Judge()


def _open(client: "paramiko.SSHClient", address: str, password: str | None) -> None:
    import paramiko

    try:
        client.connect(
            address,
            username="root",
            password=password,
            allow_agent=False,
            look_for_keys=password is None,
            timeout=CONNECT,
            banner_timeout=2 * CONNECT,
            auth_timeout=2 * CONNECT,
        )
    except paramiko.BadHostKeyException as error:
        raise _changed(address, fingerprint(error.key)) from error
    except (paramiko.AuthenticationException, paramiko.PasswordRequiredException) as error:
        if password is None:
            raise _needs_password(f"root's own SSH key does not open {address}.") from error
        raise Refused(f"{address} does not accept this root password.") from error
    except (OSError, paramiko.SSHException) as error:
        # What paramiko says where root has no key of its own to try.
        if password is None and "No authentication methods" in str(error):
            raise _needs_password(f"root has no SSH key to open {address} with.") from error
        raise Refused(f"{address} does not answer to SSH: {error}.") from error


def _needs_password(message: str) -> NeedsPassword:
    return NeedsPassword(message, "Give the password: --password-file")


def _known(paths: tuple[Path, ...]) -> "paramiko.HostKeys":
    import paramiko

    keys = paramiko.HostKeys()
    for path in paths:
        if path.exists():
            keys.load(str(path))
    return keys


def _changed(address: str, shown: str) -> Refused:
    return Refused(
        f"The host key of {address} is not the one that is known: it shows {shown}.",
        f"If it was installed anew: ssh-keygen -R {address}",
    )
