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
from typing import TYPE_CHECKING

import msgspec

from mcv.errors import CommandFailed, NeedsPassword, Refused
from mcv.system import known_hosts
from mcv.system.known_hosts import KnownHosts

if TYPE_CHECKING:
    import paramiko

KNOWN = (Path("/root/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))
CONNECT = 10.0
KEY_HINT = (
    "There, sshd -T tells (permitrootlogin, passwordauthentication). Or put root's public key "
    "of this node into /root/.ssh/authorized_keys there."
)
LAST_WORDS = 500  # characters of a complaint that are quoted


@dataclass(frozen=True)
class HostKey:
    """A host's key as `ssh-keygen -l` prints it, and whether this host knows it."""

    fingerprint: str
    type: str
    known: bool


class Exited(CommandFailed):
    """A command on another host exited with `code`; `told` is the kind of error of an mcv there."""

    code = 0
    told = ""


def _exited(line: str, address: str, code: int, last: str) -> Exited:
    """The error of a command: in the words of its own error, where it is one of mcv's."""
    for text in last.splitlines():
        with contextlib.suppress(msgspec.MsgspecError):
            told = msgspec.json.decode(text, type=Told)
            message = " ".join([told.message, *(said.message for said in told.problems)])
            error = Exited(message, told.hint or next((s.hint for s in told.problems), ""))
            error.code, error.told = code, told.error
            return error
    words = " ".join(last.split())[-LAST_WORDS:]
    error = Exited(f"`{line}` on {address} exited with {code}: {words}")
    error.code = code
    return error


class Complaint(msgspec.Struct):
    """One of several problems of an error."""

    message: str
    hint: str = ""


class Told(Complaint):
    """An error as a command of mcv's prints it under --json."""

    error: str = ""
    problems: list[Complaint] = []


class Remote:
    """A session on another host, as root."""

    def __init__(self, client: "paramiko.SSHClient", address: str) -> None:
        self._client = client
        self._address = address

    def run(self, *command: str, stdin: str = "", timeout: float = 60, called: str = "") -> str:
        """Run a command there and return what it printed; errors name it as `called`.

        What was printed may hold anything: a login shell there may print too. Raises Exited,
        with the last words of the command, where it exits non-zero or is not there, and
        CommandFailed where it does not answer in time.
        """
        from paramiko import SSHException

        line = called or shlex.join(command)
        try:
            asked = shlex.join(command)
            channel_in, out, err = self._client.exec_command(asked, timeout=timeout)
            channel_in.write(stdin)
            channel_in.channel.shutdown_write()
            printed = out.read().decode(errors="replace")
            complaint = err.read().decode(errors="replace")
            code = out.channel.recv_exit_status()
        except TimeoutError as error:
            raise CommandFailed(
                f"`{line}` on {self._address} did not end within {timeout:.0f} s."
            ) from error
        except (OSError, EOFError, SSHException) as error:
            raise CommandFailed(f"`{line}` on {self._address}: {error or 'no answer'}.") from error
        if code != 0:
            raise _exited(line, self._address, code, complaint.strip() or printed.strip())
        return printed


def fingerprint(key: "paramiko.PKey") -> str:
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def host_key(address: str, known: tuple[Path, ...] = KNOWN) -> HostKey:
    """Return a host's key; raise Refused, before anything is sent, if the known key differs."""
    import paramiko

    keys = known_hosts.read(known)
    try:
        with socket.create_connection((address, 22), timeout=CONNECT) as sock:
            transport = paramiko.Transport(sock)
            try:
                if types := keys.types(address):
                    options = transport.get_security_options()
                    options.key_types = sorted(
                        options.key_types, key=lambda kind: kind not in types
                    )
                transport.start_client(timeout=CONNECT)
                key = transport.get_remote_server_key()
            finally:
                transport.close()
    except (OSError, paramiko.SSHException) as error:
        raise Refused(f"{address} does not answer to SSH: {error}.") from error
    _require_good(keys, address, key)
    return HostKey(fingerprint(key), key.get_name(), keys.knows(address, key))


def _require_good(keys: KnownHosts, address: str, key: "paramiko.PKey") -> None:
    """Raise Refused for a key that is revoked, or is not the one that is known."""
    if keys.is_revoked(key):
        raise Refused(
            f"The host key of {address}, {fingerprint(key)}, is revoked in a known_hosts file.",
            f"Make new keys there: ssh-keygen -A, after removing the old, on {address}",
        )
    if keys.has_other(address, key):
        raise _changed(address, fingerprint(key))


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
    keys = known_hosts.read(known)
    if not expected:
        for name, entry in keys.keys.items():
            for kind, key in entry.items():
                client.get_host_keys().add(name, kind, key)
    client.set_missing_host_key_policy(_judge(address, expected, keys))
    _open(client, address, password)
    try:
        yield Remote(client, address)
    finally:
        client.close()


def _judge(address: str, expected: str | None, keys: KnownHosts) -> "paramiko.MissingHostKeyPolicy":
    """The policy for keys unknown to paramiko; for every key if one is expected."""
    import paramiko

    class Judge(paramiko.MissingHostKeyPolicy):
        def missing_host_key(
            self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
        ) -> None:
            shown = fingerprint(key)
            _require_good(keys, address, key)
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
    except paramiko.BadAuthenticationType as error:
        if password is None:
            raise _needs_password(f"root's own SSH key does not open {address}.") from error
        raise Refused(f"{address} lets nobody in by password.", KEY_HINT) from error
    except (paramiko.AuthenticationException, paramiko.PasswordRequiredException) as error:
        if password is None:
            raise _needs_password(f"root's own SSH key does not open {address}.") from error
        # sshd answers alike for both, so that nobody learns which.
        raise Refused(
            f"{address} does not accept this root password: it is wrong, or root may not log in "
            "by password there.",
            KEY_HINT,
        ) from error
    except (OSError, paramiko.SSHException) as error:
        # What paramiko says where root has no key of its own to try.
        if password is None and "No authentication methods" in str(error):
            raise _needs_password(f"root has no SSH key to open {address} with.") from error
        raise Refused(f"{address} does not answer to SSH: {error}.") from error


def _needs_password(message: str) -> NeedsPassword:
    return NeedsPassword(message, "Give the password: --password-file")


def _changed(address: str, shown: str) -> Refused:
    return Refused(
        f"The host key of {address} is not the one that is known: it shows {shown}.",
        f"If it was installed anew: ssh-keygen -R {address}",
    )
