"""What passes between mcv-lease and systemd's store of descriptors."""

import array
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.system import descriptor_store


class Systemd:
    """Listens as systemd does, and keeps what it is given."""

    def __init__(self, path: Path) -> None:
        self.said: list[str] = []
        self.kept: list[int] = []
        self.is_deaf = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.1)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._ends.is_set():
            try:
                text, rights, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(16))
            except TimeoutError:
                continue
            fds = array.array("i")
            for _, _, data in rights:
                fds.frombytes(data)
            if text == b"BARRIER=1":
                if not self.is_deaf:
                    os.close(fds[0])
                continue
            self.said.append(text.decode())
            self.kept += fds

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()
        self._socket.close()
        for fd in self.kept:
            os.close(fd)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    systemd = Systemd(tmp_path / "notify")
    yield systemd
    systemd.stop()


def test_systemd_is_given_a_copy_of_the_same_open_file(systemd: Systemd, tmp_path: Path) -> None:
    fd = os.open(tmp_path / "watchdog", os.O_RDWR | os.O_CREAT)
    try:
        assert descriptor_store.keep("watchdog", fd, 5)

        assert systemd.said == ["FDSTORE=1\nFDNAME=watchdog\nFDPOLL=0"]
        [copy] = systemd.kept
        os.write(fd, b"abc")
        assert os.lseek(copy, 0, os.SEEK_CUR) == 3
    finally:
        os.close(fd)


def test_it_is_told_to_close_it(systemd: Systemd) -> None:
    assert descriptor_store.forget("watchdog", 5)
    assert systemd.said == ["FDSTOREREMOVE=1\nFDNAME=watchdog"]


def test_a_systemd_that_does_not_take_it_up_is_not_waited_for(systemd: Systemd) -> None:
    systemd.is_deaf = True

    assert not descriptor_store.forget("watchdog", 0.1)
    assert not descriptor_store.keep("watchdog", 2, 0.1)


def test_without_systemd_nobody_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not descriptor_store.keep("watchdog", 2, 5)
    assert descriptor_store.forget("watchdog", 5)

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not descriptor_store.keep("watchdog", 2, 5)


def test_the_descriptor_of_the_name_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    other = os.dup(reading)
    monkeypatch.setattr(descriptor_store, "FIRST", other)
    assert os.dup2(writing, other + 1) == other + 1
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_FDNAMES", "other:watchdog")

    assert descriptor_store.kept("watchdog") == other + 1

    assert not os.get_inheritable(other + 1)
    with pytest.raises(OSError):
        os.fstat(other)
    assert "LISTEN_FDS" not in os.environ
    assert descriptor_store.kept("watchdog") is None
    for fd in (reading, writing, other + 1):
        os.close(fd)


def test_descriptors_for_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "watchdog")

    assert descriptor_store.kept("watchdog") is None
