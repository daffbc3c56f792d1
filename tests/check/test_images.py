"""Images in `cluster check`: what is missing, changed, cut off, and what belongs to no image."""

import os
from pathlib import Path

from mcv.storage import image_files, images
from tests.check.faults import look
from tests.fakes.cluster import FakeCluster


def add(cluster: FakeCluster, tmp_path: Path) -> Path:
    """The image debian on both nodes; its file on n2."""
    (tmp_path / "disk.raw").write_bytes(os.urandom(8192))
    fd = os.open(tmp_path / "disk.raw", os.O_RDONLY)
    try:
        cluster.run("n1", images.add, name="debian", pid=os.getpid(), fd=fd, on=["n2"])
    finally:
        os.close(fd)
    path = image_files.path(cluster.hosts["n2"], "debian")
    path.chmod(0o600)
    return path


def told(cluster: FakeCluster) -> list[tuple[str, str, str]]:
    return [
        (severity, node, message)
        for severity, node, subject, message in look(cluster)
        if subject == "debian" or "images" in message
    ]


def test_an_image_as_it_should_be_is_no_finding(vm: FakeCluster, tmp_path: Path) -> None:
    add(vm, tmp_path)

    assert told(vm) == []


def test_a_file_that_is_missing_or_another_is_found(vm: FakeCluster, tmp_path: Path) -> None:
    path = add(vm, tmp_path)
    text = path.read_bytes()

    path.write_bytes(bytes(len(text)))
    changed = told(vm)
    path.write_bytes(text[:-1])
    shorter = told(vm)
    path.unlink()
    missing = told(vm)

    for found, part in (
        (changed, "was changed"),
        (shorter, "has 8191 bytes, not 8192"),
        (missing, "does not have the file"),
    ):
        ((severity, node, message),) = found
        assert (severity, node) == ("warning", "n2") and part in message


def test_a_copy_that_was_cut_off_or_failed_is_found(vm: FakeCluster, tmp_path: Path) -> None:
    add(vm, tmp_path)
    host = vm.hosts["n1"]

    host.update("image.state", "x", name="debian", nodes=["n2"], state="syncing")
    cut = told(vm)
    host.update("image.give_up", "x", name="debian", nodes=["n1", "n2"], problem="no luck")
    failed = told(vm)
    host.update("image.state", "x", name="debian", nodes=["n1"], state="failed")

    assert [message for *_, message in cut] == ["The copy of debian to n2 was cut off."]
    assert [message for *_, message in failed] == ["The copy of debian to n2 has failed: no luck"]
    assert any("No node has the image debian whole." in message for *_, message in told(vm))


def test_a_file_that_is_no_image_is_found(vm: FakeCluster, tmp_path: Path) -> None:
    path = add(vm, tmp_path)
    for name in ("mine.iso", "suse.1234.part", f"{path.name}.part"):
        (path.parent / name).touch()

    assert [(severity, node) for severity, node, _ in told(vm)] == [("warning", "n2")] * 2
    assert "has mine.iso in" in told(vm)[0][2] and "suse.1234.part" in told(vm)[1][2]
