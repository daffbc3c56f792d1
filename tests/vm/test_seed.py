"""What sets a guest up: taken from the caller's files, and written to its seed and nowhere else."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcv.document.disks import DrbdDisk
from mcv.document.model import encode
from mcv.errors import Failed, Refused
from mcv.vm import create, image, seed
from tests.drivers.test_nocloud import joliet
from tests.fakes.cluster import FakeCluster

SECRET = "correct horse battery staple"
USER_DATA = f"#cloud-config\npassword: {SECRET}\n"
KEY = "ssh-ed25519 AAAAC3Nz me@here"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What disks were filled with, by path."""
    found: dict[str, bytes] = {}

    def fill(host: Any, source: str, token: str, path: str, format: str) -> None:
        found[path] = seed._content(host, source, token)

    monkeypatch.setattr(image, "fill", fill)
    yield found


def taken(cluster: FakeCluster, tmp_path: Path, node: str = "n1", **texts: str) -> dict[str, Any]:
    """What `vm.take_seed` answers about files with these texts."""
    hostname = texts.pop("hostname", None)
    fds = {}
    for word, text in texts.items():
        (tmp_path / word).write_text(text)
        fds[word] = os.open(tmp_path / word, os.O_RDONLY)
    try:
        answer = seed.take(cluster.hosts[node], os.getpid(), **fds, hostname=hostname)
    finally:
        for fd in fds.values():
            os.close(fd)
    return {"node": answer.node, "token": answer.token, "size": answer.size}


def make(cluster: FakeCluster, **options: Any) -> None:
    options = {"memory": "64MiB", "disks": ["64MiB"], **options}
    cluster.run("n1", create.create, name="web1", **options)


def test_a_seed_is_a_disk_of_its_vm_and_holds_what_was_typed(
    cluster: FakeCluster, tmp_path: Path, written: dict[str, bytes]
) -> None:
    found = taken(cluster, tmp_path, user_data=USER_DATA, keys=f"# mine\n{KEY}\n")

    make(cluster, seed=found, networks=[])

    vm = cluster.read("n2").vm("web1")
    data, extra = vm.disks
    assert isinstance(extra, DrbdDisk) and set(extra.places) == {"n1", "n2"}
    assert (data.role, extra.role, extra.format, extra.discard) == ("data", "seed", "raw", False)
    files = joliet(written[extra.device])
    assert extra.size == len(written[extra.device])
    assert files["user-data"].decode() == USER_DATA
    assert f'local-hostname: "web1"\npublic-keys:\n  - "{KEY}"\n' in files["meta-data"].decode()
    assert f'instance-id: "{vm.uuid}"' in files["meta-data"].decode()
    root = ET.fromstring(cluster.domains["n1"].defined["web1"])
    disks = root.findall("devices/disk[@device='disk']")
    assert [disk.find("readonly") is not None for disk in disks] == [False, True]
    assert [disk.find("boot") is not None for disk in disks] == [True, False]


def test_what_is_secret_is_in_no_document_no_history_and_no_journal(
    cluster: FakeCluster, tmp_path: Path, written: dict[str, bytes]
) -> None:
    found = taken(cluster, tmp_path, user_data=USER_DATA)
    journals: list[str] = []

    def spy(me: str, node: str, operation: str) -> None:
        del me, node, operation
        for path in (cluster.directory / "var").rglob("*"):
            if path.is_file():
                journals.append(path.read_text(errors="replace"))

    cluster.spy = spy
    make(cluster, seed=found)

    assert SECRET in joliet(next(iter(written.values())))["user-data"].decode()
    assert journals and SECRET not in "".join(journals)
    assert SECRET not in encode(cluster.read())
    assert cluster.hosts["n1"].images == {}


def test_what_another_node_was_given_is_fetched_from_there(
    cluster: FakeCluster, tmp_path: Path, written: dict[str, bytes]
) -> None:
    found = taken(cluster, tmp_path, node="n2", hostname="www.example.org")

    make(cluster, seed=found)

    (seed_disk,) = written.values()
    assert b'local-hostname: "www.example.org"' in joliet(seed_disk)["meta-data"]
    assert cluster.hosts["n1"].images == cluster.hosts["n2"].images == {}


@pytest.mark.parametrize("storage", ["file", "lvm", "drbd"])
def test_a_vm_without_a_data_disk_has_a_seed_on_any_kind(
    cluster: FakeCluster, tmp_path: Path, written: dict[str, bytes], storage: str
) -> None:
    found = taken(cluster, tmp_path, hostname="web1")

    make(cluster, seed=found, disks=[], storage=storage)

    (disk,) = cluster.read().vm("web1").disks
    assert (disk.role, disk.storage, len(written)) == ("seed", storage, 1)


def test_a_creation_that_is_refused_or_fails_drops_what_was_given(
    cluster: FakeCluster, tmp_path: Path, written: dict[str, bytes]
) -> None:
    with pytest.raises(Refused):
        make(cluster, seed=taken(cluster, tmp_path, hostname="a"), memory="9PiB")
    cluster.domains["n1"].broken.add("define")
    with pytest.raises(Failed):
        make(cluster, seed=taken(cluster, tmp_path, hostname="a"))

    assert cluster.hosts["n1"].images == {}
    assert cluster.read().vms == {} and cluster.lvm["n1"].made == {}


def test_what_was_dropped_meanwhile_is_a_refusal(cluster: FakeCluster) -> None:
    with pytest.raises(Refused, match="not there any more"):
        make(cluster, seed={"node": "n1", "token": "gone", "size": 1})

    assert cluster.read().vms == {}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"user_data": "hello\n"}, "does not begin as cloud-init's user-data does"),
        ({"user_data": ""}, "--cloud-init is empty"),
        ({"user_data": "#" * (1024**2 + 1)}, "--cloud-init is larger than 1024 KiB"),
        ({"keys": "-----BEGIN OPENSSH PRIVATE KEY-----\n"}, "is a private key"),
        ({"keys": "nonsense\n"}, "does not hold public keys"),
        ({"keys": "# none\n"}, "does not hold public keys"),
        ({"hostname": "a b"}, "--hostname 'a b' is no host name"),
        ({"hostname": "-a"}, "is no host name"),
        ({"hostname": "x\n"}, "is no host name"),
    ],
)
def test_what_no_guest_could_use_is_refused(
    cluster: FakeCluster, tmp_path: Path, texts: dict[str, str], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        taken(cluster, tmp_path, **texts)

    assert cluster.hosts["n1"].images == {}


def test_what_is_no_regular_file_is_refused(cluster: FakeCluster) -> None:
    with open("/dev/zero", "rb") as file, pytest.raises(Refused, match="no regular file"):
        seed.take(cluster.hosts["n1"], os.getpid(), user_data=file.fileno())
