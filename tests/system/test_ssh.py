"""The SSH client against a real server: whose key is judged before any password is sent."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from mcv.errors import CommandFailed, NeedsPassword, Refused
from mcv.system import ssh

ADDRESS = "127.0.0.1"


class Word(paramiko.ServerInterface):
    """Lets root in by one password; runs three commands; notes every password it is shown."""

    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        self.shown.append(password)
        good = username == "root" and password == "right"
        return AUTH_SUCCESSFUL if good else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        def serve() -> None:
            time.sleep(0.05)  # the request is answered first
            if command == b"cat":
                while data := channel.recv(1000):
                    channel.sendall(data)
                code = 0
            elif command == b"noise":
                channel.sendall(b"\xff\xfe\x00 hello")
                code = 0
            elif command.startswith(b"false"):
                channel.sendall_stderr(b"first\nno luck\n")
                code = 3
            else:
                channel.sendall(command)
                code = 0
            channel.send_exit_status(code)
            channel.close()

        threading.Thread(target=serve, daemon=True).start()
        return True


class Server:
    """An SSH server of this process, on the port that ssh is told to take for 22."""

    def __init__(self) -> None:
        self.key = paramiko.ECDSAKey.generate()
        self.shown: list[str] = []
        self.socket = socket.create_server((ADDRESS, 0))
        self.port = self.socket.getsockname()[1]
        self.transports: list[paramiko.Transport] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.key)
            self.transports.append(transport)
            try:
                transport.start_server(server=Word(self.shown))
            except (paramiko.SSHException, EOFError, OSError):
                continue

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for transport in self.transports:
            transport.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    create, connect = socket.create_connection, paramiko.SSHClient.connect

    def to_server(address: tuple[str, int], *rest: Any, **params: Any) -> socket.socket:
        return create((address[0], server.port), *rest, **params)

    def dial(self: paramiko.SSHClient, address: str, **params: Any) -> None:
        params["look_for_keys"] = False
        sock = create((ADDRESS, server.port))
        connect(self, address, sock=sock, **params)

    monkeypatch.setattr(socket, "create_connection", to_server)
    monkeypatch.setattr(paramiko.SSHClient, "connect", dial)
    yield server
    server.close()


@pytest.fixture
def known(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


def write(known: Path, key: paramiko.PKey) -> tuple[Path, ...]:
    known.write_text(f"{ADDRESS} {key.get_name()} {key.get_base64()}\n")
    return (known,)


def test_the_key_of_a_host_is_shown_and_whether_it_is_known(server: Server, known: Path) -> None:
    key = ssh.host_key(ADDRESS, (known,))
    assert (key.fingerprint, key.known) == (ssh.fingerprint(server.key), False)
    assert key.fingerprint.startswith("SHA256:") and not key.fingerprint.endswith("=")

    assert ssh.host_key(ADDRESS, write(known, server.key)).known
    with pytest.raises(Refused, match="is not the one that is known") as error:
        ssh.host_key(ADDRESS, write(known, paramiko.ECDSAKey.generate()))

    assert f"ssh-keygen -R {ADDRESS}" in error.value.hint
    assert server.shown == []


@pytest.mark.parametrize("expected", [True, False])
def test_a_host_that_is_known_or_expected_is_let_in_by_its_password(
    server: Server, known: Path, expected: bool
) -> None:
    if not expected:
        write(known, server.key)
    fingerprint = ssh.fingerprint(server.key) if expected else None

    with ssh.connect(ADDRESS, "right", fingerprint, (known,)) as remote:
        assert remote.run("cat", stdin="zwölf") == "zwölf"
        assert remote.run("noise") == "\ufffd\ufffd\x00 hello"
        assert remote.run("mcv", "a b", "$(id)") == "mcv 'a b' '$(id)'"
        with pytest.raises(CommandFailed, match=r"`false` on .* exited with 3: first no luck"):
            remote.run("false")

    assert server.shown == ["right"]


@pytest.mark.parametrize("story", ["unknown", "not the expected one", "changed"])
def test_no_password_is_sent_to_a_host_whose_key_is_not_the_right_one(
    server: Server, known: Path, story: str
) -> None:
    expected = None
    if story == "not the expected one":
        expected = "SHA256:" + "A" * 43
    elif story == "changed":
        write(known, paramiko.ECDSAKey.generate())

    with (
        pytest.raises(Refused, match=ssh.fingerprint(server.key).replace("+", r"\+")),
        ssh.connect(ADDRESS, "right", expected, (known,)),
    ):
        pass

    assert server.shown == []


ODD_LINES = (
    "@cert-authority *.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFiYw==",
    f"{ADDRESS} ssh-ed25519 notbase64!",
    f"{ADDRESS} ssh-ed25519 AAAA",
    f"{ADDRESS} ssh-rsa AAAAB3NzaC1yc2E=",
    f"{ADDRESS} ssh-future AAAA",
    "short",
    "",
    "# a comment",
    "\udcff\udcfe",
)


def test_lines_of_another_form_are_passed_over(server: Server, known: Path) -> None:
    (path,) = write(known, server.key)
    good = path.read_bytes()
    odd = "\n".join(ODD_LINES).encode("utf-8", "surrogateescape")
    path.write_bytes(odd + b"\n" + good + odd)

    assert ssh.host_key(ADDRESS, (path,)).known
    with ssh.connect(ADDRESS, "right", None, (path,)) as remote:
        assert remote.run("cat", stdin="in") == "in"


@pytest.mark.parametrize("expected", [True, False])
def test_a_revoked_key_is_refused_known_and_expected_or_not(
    server: Server, known: Path, expected: bool
) -> None:
    (path,) = write(known, server.key)
    line = f"@revoked * {server.key.get_name()} {server.key.get_base64()}\n"
    path.write_text(path.read_text() + line)
    fingerprint = ssh.fingerprint(server.key) if expected else None

    with pytest.raises(Refused, match="is revoked"):
        ssh.host_key(ADDRESS, (path,))
    with (
        pytest.raises(Refused, match="is revoked"),
        ssh.connect(ADDRESS, "right", fingerprint, (path,)),
    ):
        pass

    assert server.shown == []


def test_an_expected_key_does_not_excuse_one_that_differs_from_a_known_one(
    server: Server, known: Path
) -> None:
    write(known, paramiko.ECDSAKey.generate())

    with (
        pytest.raises(Refused, match="not the one that is known"),
        ssh.connect(ADDRESS, "right", ssh.fingerprint(server.key), (known,)),
    ):
        pass

    assert server.shown == []


def test_a_known_key_is_not_enough_where_another_is_expected(server: Server, known: Path) -> None:
    write(known, server.key)

    with (
        pytest.raises(Refused, match="not SHA256:other"),
        ssh.connect(ADDRESS, "right", "SHA256:other", (known,)),
    ):
        pass

    assert server.shown == []


def test_a_wrong_password_and_none_are_told_apart(server: Server, known: Path) -> None:
    write(known, server.key)

    with (
        pytest.raises(Refused, match="does not accept this root password") as refused,
        ssh.connect(ADDRESS, "wrong", None, (known,)),
    ):
        pass
    assert "root may not log in by password" in refused.value.message
    assert "sshd -T" in refused.value.hint
    with (
        pytest.raises(NeedsPassword, match="root has no SSH key to open") as error,
        ssh.connect(ADDRESS, None, None, (known,)),
    ):
        pass

    assert "--password-file" in error.value.hint


def test_a_session_that_is_cut_is_a_failure_of_the_command(server: Server, known: Path) -> None:
    write(known, server.key)

    with ssh.connect(ADDRESS, "right", None, (known,)) as remote:
        for transport in server.transports:
            transport.close()
        with pytest.raises(CommandFailed, match="`cat` on 127"):
            remote.run("cat")


def test_a_host_without_ssh_is_refused_in_words(server: Server, known: Path) -> None:
    server.close()

    with pytest.raises(Refused, match="does not answer to SSH"):
        ssh.host_key(ADDRESS, (known,))
