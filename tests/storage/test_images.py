"""Images: a private copy of each, with its digest, on the nodes that need it."""

import base64
import gzip
import hashlib
import http.server
import ipaddress
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcv.cluster import members
from mcv.document.pools import Image
from mcv.drivers import addresses
from mcv.drivers.open_devices import Holder
from mcv.errors import DoneInPart, Failed, McvError, Refused
from mcv.storage import image_copies, image_files, image_intake, images
from tests.fakes.cluster import FakeCluster

MIB = 1024**2


def raw(path: Path, size: int = MIB) -> Path:
    path.write_bytes(os.urandom(4096) + bytes(size - 4096))
    return path


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add(cluster: FakeCluster, path: Path, node: str = "n1", **params: Any) -> Image:
    fd = os.open(path, os.O_RDONLY)
    try:
        cluster.run(node, images.add, **{"name": "debian", **params}, pid=os.getpid(), fd=fd)
    finally:
        os.close(fd)
    return cluster.read().images[params.get("name", "debian")]


def there(cluster: FakeCluster, node: str) -> list[str]:
    directory = cluster.hosts[node].settings.images
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"Hello, world\n", "13 bytes are no whole sectors of 512"),
        (b"#!/bin/sh\n" + b"echo no disk at all\n" * 100 + b"\n" * 38, "it begins as a text"),
    ],
)
def test_what_is_no_disk_becomes_no_image(
    cluster: FakeCluster, tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)

    with pytest.raises(Refused, match=f"The image is no disk: {why}") as refused:
        add(cluster, path)

    assert "--image-format raw" in refused.value.hint and cluster.read().images == {}
    assert add(cluster, path, format="raw").size == len(content)


def test_an_image_is_a_private_copy_with_its_digest(cluster: FakeCluster, tmp_path: Path) -> None:
    path = raw(tmp_path / "disk.raw")

    image = add(cluster, path)

    assert (image.kind, image.format, image.size, image.bytes) == ("disk", "raw", MIB, MIB)
    assert image.sha256 == image.given == sha(path)
    assert image.nodes == {"n1": "ready"} and image.claim is None
    file = image_files.path(cluster.hosts["n1"], "debian")
    assert there(cluster, "n1") == [file.name] == [f"debian-{image.sha256[:8]}.raw"]
    assert file.read_bytes() == path.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o400


def test_an_image_is_copied_to_more_nodes(three: FakeCluster, tmp_path: Path) -> None:
    image = add(three, raw(tmp_path / "disk.raw", 9 * MIB), on=["n2"])
    assert image.nodes == {"n1": "ready", "n2": "ready"}

    three.run("n2", images.sync, name="debian", on=["n3"])

    assert three.read().images["debian"].nodes == dict.fromkeys(three.hosts, "ready")
    assert there(three, "n1") == there(three, "n2") == there(three, "n3")
    assert sha(image_files.path(three.hosts["n3"], "debian")) == image.sha256


def test_a_copy_is_dropped_and_an_image_deleted(cluster: FakeCluster, tmp_path: Path) -> None:
    add(cluster, raw(tmp_path / "disk.raw"), on=["n2"])

    cluster.run("n1", images.drop, name="debian", node="n2")
    assert cluster.read().images["debian"].nodes == {"n1": "ready"}
    assert there(cluster, "n2") == []
    with pytest.raises(Refused, match="n1 is the last node"):
        cluster.run("n2", images.drop, name="debian", node="n1")

    cluster.run("n2", images.delete, name="debian")
    assert cluster.read().images == {}
    assert there(cluster, "n1") == []


# What goes wrong


@pytest.fixture
def server() -> Iterator[dict[str, tuple[int, bytes]]]:
    """Pages by path on loopback, each with the length that it is said to have."""
    pages: dict[str, tuple[int, bytes]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length, text = pages[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        pages["url"] = (0, f"http://127.0.0.1:{listener.server_port}".encode())
        yield pages
        listener.shutdown()


def url_of(server: dict[str, tuple[int, bytes]], path: str) -> str:
    return f"{server['url'][1].decode()}{path}"


def test_a_url_is_fetched_and_unpacked_by_the_node_that_is_asked(
    cluster: FakeCluster, tmp_path: Path, server: dict[str, tuple[int, bytes]]
) -> None:
    path = raw(tmp_path / "disk.raw")
    packed = gzip.compress(path.read_bytes())
    server["/disk.gz"] = (len(packed), packed)
    wanted = {"name": "debian", "url": url_of(server, "/disk.gz"), "allow_private": True}

    cluster.run("n2", images.add, **wanted, sha256=hashlib.sha256(packed).hexdigest())

    image = cluster.read().images["debian"]
    assert image.nodes == {"n2": "ready"}
    assert (image.sha256, image.given) == (sha(path), hashlib.sha256(packed).hexdigest())


def test_what_a_server_does_wrong_leaves_nothing(
    cluster: FakeCluster, tmp_path: Path, server: dict[str, tuple[int, bytes]]
) -> None:
    server["/short"] = (MIB, b"x" * 1000)
    server["/whole"] = (1000, b"x" * 1000)
    server["/large"] = (1 << 50, b"x" * 1000)
    before = cluster.picture()

    for path, more, told in (
        ("/short", {}, "ended after 1000 of"),
        ("/whole", {"sha256": "0" * 64}, "not 0000"),
        ("/large", {}, "needs more than"),
        ("/whole", {"allow_private": False}, "an address of this host"),
    ):
        wanted = {"name": "debian", "url": url_of(server, path), "allow_private": True, **more}
        with pytest.raises(McvError, match=told):
            cluster.run("n1", images.add, **wanted)

    assert cluster.picture() == before and there(cluster, "n1") == []


def test_the_addresses_of_each_node_are_not_fetched_from(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "own", lambda: ["198.51.100.9"])
    judge = image_intake._elsewhere(cluster.hosts["n1"])
    cluster.down.add("n2")
    with_silent = image_intake._elsewhere(cluster.hosts["n1"])

    for address in ("10.0.0.1", "10.0.0.2", "198.51.100.9"):
        assert judge(ipaddress.ip_address(address)) == "an address of this cluster"
        assert with_silent(ipaddress.ip_address(address)) == "an address of this cluster"
    assert judge(ipaddress.ip_address("10.0.0.3")) == ""


def test_all_that_is_wrong_with_an_image_is_told_at_once(cluster: FakeCluster) -> None:
    with pytest.raises(Refused) as refused:
        cluster.run(
            "n1",
            images.add,
            name="../x",
            url="file:///etc/shadow",
            sha256="x",
            kind="dvd",
            on=["n9"],
        )

    told = str(refused.value.problems)
    for part in ("is no name", "no http", "no sha256", "no image kind", "no node n9"):
        assert part in told


def test_a_dry_run_of_an_image_reads_nothing(cluster: FakeCluster) -> None:
    wanted = {"name": "debian", "url": "http://192.0.2.1/x", "on": ["n2"], "dry_run": True}

    shown = cluster.run("n1", images.add, **wanted)

    assert [line.partition(" name=")[0] for line in shown.plan] == [
        "document: image.add",
        "n1: image.place",
        "document: image.state",
        "n2: image.copy",
        "document: image.give_up",
    ]


def test_a_copy_goes_on_where_it_was_cut_off(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_copies, "PIECE", 64 * 1024)
    image = add(cluster, raw(tmp_path / "disk.raw"))
    asked: list[int] = []
    part = image_copies._part_of

    def cut(host: Any, source: str, name: str, offset: int) -> bytes:
        asked.append(offset)
        if len(asked) == 5:
            raise McvError("The line is cut.")
        return part(host, source, name, offset)

    monkeypatch.setattr(image_copies, "_part_of", cut)
    with pytest.raises(DoneInPart, match="The line is cut"):
        cluster.run("n1", images.sync, name="debian", on=["n2"])
    row = images.list_(cluster.hosts["n1"])[0].nodes["n2"]
    assert (row.state, row.done, row.problem) == ("failed", 25.0, "The line is cut.")
    assert image_files.clean(cluster.hosts["n2"]) == []

    cluster.run("n1", images.sync, name="debian", on=["n2"])

    assert asked[4:7] == [256 * 1024, 256 * 1024, 320 * 1024]
    assert sha(image_files.path(cluster.hosts["n2"], "debian")) == image.sha256


def test_a_beginning_that_is_another_is_not_gone_on_with(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    image = add(cluster, raw(tmp_path / "disk.raw"))
    host = cluster.hosts["n2"]
    image_files.make_directory(host)
    draft = image_copies._draft(host, "debian", image)
    draft.write_bytes(b"another")

    cluster.run("n1", images.sync, name="debian", on=["n2"])

    assert sha(image_files.path(host, "debian")) == image.sha256


def test_a_source_that_lies_gives_no_image(cluster: FakeCluster, tmp_path: Path) -> None:
    add(cluster, raw(tmp_path / "disk.raw"))
    lie = base64.b64encode(zlib.compress(b"y" * MIB)).decode()
    cluster.bend = lambda node, operation, answer: (
        {"data": lie} if operation == "image.part" else answer
    )

    with pytest.raises(DoneInPart, match="is not the image debian"):
        cluster.run("n1", images.sync, name="debian", on=["n2"])

    assert there(cluster, "n2") == []
    assert cluster.read().images["debian"].nodes["n2"] == "failed"


def test_a_changed_file_is_noticed_and_copied_anew(cluster: FakeCluster, tmp_path: Path) -> None:
    image = add(cluster, raw(tmp_path / "disk.raw"), on=["n2"])
    host = cluster.hosts["n2"]
    path = image_files.path(host, "debian")
    path.chmod(0o600)

    text = path.read_bytes()
    path.write_bytes(text)  # another time, the same bytes
    assert image_files.why_not_use(host, "debian") is None
    path.write_bytes(bytes(len(text)))
    refusal = image_files.why_not_use(host, "debian")
    assert refusal and "was changed" in refusal.message
    with pytest.raises(McvError, match="was changed"):
        image_copies.part(host, "debian", 0)

    cluster.run("n1", images.sync, name="debian", on=["n2"])
    assert image_files.why_not_use(host, "debian") is None and sha(path) == image.sha256


def test_an_image_in_use_is_neither_dropped_nor_deleted(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    add(cluster, raw(tmp_path / "disk.raw"), on=["n2"])
    path = image_files.path(cluster.hosts["n2"], "debian")
    cluster.directories["n2"].open[str(path)] = [Holder(name="qemu-img", pid=7)]

    for verb, params in ((images.drop, {"node": "n2"}), (images.delete, {})):
        with pytest.raises(Failed, match=r"in use: qemu-img \(7\)"):
            cluster.run("n1", verb, name="debian", **params)

    assert cluster.read().images["debian"].nodes == {"n1": "ready", "n2": "ready"}
    assert all(there(cluster, node) == [path.name] for node in cluster.hosts)


def test_what_a_crash_left_is_deleted_at_the_next_start(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    image = add(cluster, raw(tmp_path / "disk.raw"))
    host = cluster.hosts["n1"]
    directory, file = host.settings.images, image_files.file_name("debian", image)
    for name in ("suse.1234.part", "old-12345678.raw.gone", f"{file}.part"):
        (directory / name).touch()

    assert image_files.clean(host) == ["old-12345678.raw.gone", "suse.1234.part"]
    assert there(cluster, "n1") == [file, f"{file}.part"]

    (directory / file).rename(directory / f"{file}.gone")
    assert image_files.clean(host) == []
    assert image_files.why_not_use(host, "debian") is None


def test_the_file_of_an_image_on_a_node_that_is_away_is_not_waited_for(
    three: FakeCluster, tmp_path: Path
) -> None:
    add(three, raw(tmp_path / "disk.raw"), on=["n3"])
    three.run("n3", members.offline, names=["n3"])
    three.down.add("n3")

    answer = three.run("n1", images.delete, name="debian")

    assert answer.left == ["n3"] and three.read().images == {}
