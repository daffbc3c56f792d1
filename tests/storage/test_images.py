"""Images: a private copy of each, with its digest, on the nodes that need it."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from mcv.document.pools import Image
from mcv.errors import Refused
from mcv.storage import image_files, images
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
