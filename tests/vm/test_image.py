"""Images, judged and read by the real qemu-img: only what is whole and plain is taken."""

import bz2
import contextlib
import gzip
import lzma
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcv.drivers import qcow2
from mcv.drivers import qemu_img as qemu_img_driver
from mcv.errors import Cancelled, CommandFailed, McvError, NotFound, Refused
from mcv.storage import image_draft
from mcv.system import process
from mcv.transaction import jobs
from mcv.vm import create, image
from tests.fakes.cluster import FakeCluster

MIB = 1024**2


def qemu_img(*words: str) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


@pytest.fixture
def host(cluster: FakeCluster) -> Iterator[Any]:
    host = cluster.hosts["n1"]
    yield host
    for token in list(host.images):
        image.drop(host, token)


def take(host: Any, path: Path, format: str | None = None) -> image.TakenImage:
    fd = os.open(path, os.O_RDONLY)
    try:
        return image.take(host, os.getpid(), fd, format)
    finally:
        os.close(fd)


def raw(path: Path, size: int = MIB) -> Path:
    path.write_bytes(os.urandom(4096) + bytes(size - 4096))
    return path


def whole(host: Any, taken: image.TakenImage, target: Path) -> bytes:
    target.touch()
    image.fill(host, "n1", taken.token, str(target), "raw")
    return target.read_bytes()


def test_a_raw_image_is_taken_as_it_is(host: Any, tmp_path: Path) -> None:
    path = raw(tmp_path / "disk.raw")

    taken = take(host, path)

    assert taken.node == "n1" and taken.size == MIB
    assert whole(host, taken, tmp_path / "device") == path.read_bytes()


def test_a_qcow2_image_is_read_as_its_guest_would(host: Any, tmp_path: Path) -> None:
    path = raw(tmp_path / "disk.raw", 3 * MIB)
    qemu_img("convert", "-O", "qcow2", str(path), str(tmp_path / "disk.qcow2"))

    taken = take(host, tmp_path / "disk.qcow2")

    assert taken.size == 3 * MIB
    assert whole(host, taken, tmp_path / "device") == path.read_bytes()


def test_another_node_reads_it_in_packed_pieces(
    cluster: FakeCluster, host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "CHUNK", 256 * 1024)
    path = raw(tmp_path / "disk.raw")
    taken = take(host, path)
    (tmp_path / "device").touch()

    image.fill(cluster.hosts["n2"], "n1", taken.token, str(tmp_path / "device"), "raw")

    assert (tmp_path / "device").read_bytes() == path.read_bytes()


def test_an_image_that_leans_on_another_file_is_refused(host: Any, tmp_path: Path) -> None:
    base = raw(tmp_path / "base.raw")
    backed, split = tmp_path / "backed.qcow2", tmp_path / "split.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", str(base), "-F", "raw", str(backed))
    data = f"data_file={tmp_path}/data"
    qemu_img("create", "-f", "qcow2", "-o", data, str(split), "1M")

    with pytest.raises(Refused, match="backing file") as error:
        take(host, backed)
    assert "qemu-img convert" in error.value.hint
    with pytest.raises(Refused, match="data in another file"):
        take(host, split)
    assert host.images == {}


def test_a_backing_file_that_is_missing_is_no_way_around(host: Any, tmp_path: Path) -> None:
    base = raw(tmp_path / "base.raw")
    backed = tmp_path / "backed.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", str(base), "-F", "raw", str(backed))
    base.unlink()

    with pytest.raises(Refused):
        take(host, backed)


def test_what_is_neither_raw_nor_qcow2_is_refused(host: Any, tmp_path: Path) -> None:
    qemu_img("create", "-f", "vmdk", str(tmp_path / "disk.vmdk"), "1M")

    with pytest.raises(Refused, match="The image is vmdk") as error:
        take(host, tmp_path / "disk.vmdk")

    assert "qemu-img convert" in error.value.hint


def test_an_encrypted_image_is_refused_in_words(host: Any, tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-f", "qcow2", str(path), "1M")
    with path.open("r+b") as file:
        file.seek(32)  # the header's word for how it is encrypted: AES
        file.write((1).to_bytes(4, "big"))

    with pytest.raises(Refused, match="The image is encrypted"):
        take(host, path)


def test_a_disk_that_looks_like_another_format_is_taken_when_it_is_called_raw(
    host: Any, tmp_path: Path
) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"LUKS\xba\xbe\0\1" + os.urandom(692))

    with pytest.raises(Refused) as refused:
        take(host, path)
    assert "--image-format raw" in refused.value.hint
    taken = take(host, path, "raw")

    assert taken.size == 700
    assert whole(host, taken, tmp_path / "device") == path.read_bytes()


def test_a_format_that_is_told_is_the_format_that_is_read(host: Any, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        take(host, raw(tmp_path / "disk.raw"), "qcow2")
    with pytest.raises(Refused, match="no image format vmdk"):
        take(host, tmp_path / "disk.raw", "vmdk")


def test_an_image_that_is_not_wanted_any_more_is_given_up(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-f", "qcow2", str(path), "1M")
    job = host.jobs.begin("take image", "alice")
    token = jobs.current.set(job)
    seen: list[tuple[bool, bool]] = []
    copied = image._copied

    def interrupted(*arguments: Any) -> int:
        seen.append((job.cancellable, job.waits))
        job.cancelled.set()
        return copied(*arguments)

    monkeypatch.setattr(image, "_copied", interrupted)
    try:
        with pytest.raises(Cancelled):
            take(host, path)
    finally:
        jobs.current.reset(token)

    # Ctrl-C cancels what waits: no job goes on of which nobody uses the result.
    assert seen == [(True, True)]
    assert host.images == {} and not list(host.settings.state.glob("image-*"))


def test_an_image_that_no_creation_asks_for_is_dropped_soon(host: Any, tmp_path: Path) -> None:
    left, kept = (take(host, raw(tmp_path / name)).token for name in ("left", "kept"))
    image.keep(host, kept)

    for token in (left, kept):
        image._drop_unless_kept(host, token, image.UNCLAIMED)
    assert list(host.images) == [kept]

    image._drop_unless_kept(host, kept, image.CLAIMED)
    assert host.images == {}


def test_an_image_that_was_let_go_is_waited_for_by_no_thread(host: Any, tmp_path: Path) -> None:
    before = threading.active_count()
    token = take(host, raw(tmp_path / "disk.raw")).token
    image.keep(host, token)
    assert threads_come_to(before + 1)

    image.drop(host, token)

    assert threads_come_to(before)


def threads_come_to(count: int) -> bool:
    end = time.monotonic() + 5
    while threading.active_count() > count and time.monotonic() < end:
        time.sleep(0.01)
    return threading.active_count() == count


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_creation_that_is_refused_or_only_shown_drops_its_image(
    cluster: FakeCluster, host: Any, tmp_path: Path, dry_run: bool
) -> None:
    taken = take(host, raw(tmp_path / "disk.raw"))
    held: list[bool] = []
    cluster.answered = lambda caller, node, operation: (
        held.append(host.images[taken.token].is_claimed) if operation == "image.keep" else None
    )
    source = {"node": "n1", "token": taken.token, "size": taken.size}

    with contextlib.nullcontext() if dry_run else pytest.raises(Refused):
        memory = "64MiB" if dry_run else "much"
        words = {"name": "web1", "memory": memory, "disks": ["1MiB"], "image": source}
        cluster.run("n1", create.create, **words, dry_run=dry_run)

    assert held == [True] and host.images == {}


def free_of(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def small(largest: int) -> Any:
    """A draft's beginning, on a file system of that size."""
    begin = image_draft.Draft.__init__

    def begun(draft: Any, fd: int, directory: Path, room: int, _: int) -> None:
        begin(draft, fd, directory, room, largest)

    return begun


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-c"], input=data, check=True, capture_output=True).stdout


PACKERS: dict[str, Any] = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstd}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_a_packed_image_is_unpacked(host: Any, tmp_path: Path, packer: str, format: str) -> None:
    path, packed = raw(tmp_path / "disk.raw", 3 * MIB), tmp_path / "packed"
    qemu_img("convert", "-O", format, str(path), str(tmp_path / "image"))
    packed.write_bytes(PACKERS[packer]((tmp_path / "image").read_bytes()))

    taken = take(host, packed)

    assert taken.size == 3 * MIB
    assert whole(host, taken, tmp_path / "device") == path.read_bytes()


@pytest.mark.parametrize("packer", PACKERS)
def test_a_packed_image_that_ends_early_is_refused(host: Any, tmp_path: Path, packer: str) -> None:
    path = raw(tmp_path / "disk.raw")
    path.write_bytes(PACKERS[packer](path.read_bytes())[:-20])

    with pytest.raises(Refused, match="cannot be unpacked"):
        take(host, path)

    assert host.images == {} and not list(host.settings.state.glob("image-*"))


def test_a_small_packed_image_does_not_fill_the_disk(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(b"x" * 64 * MIB))
    monkeypatch.setattr(image, "KEPT_FREE", free_of(host.settings.state) - 16 * MIB)

    with pytest.raises(Refused, match="The image needs more than"):
        take(host, path)

    assert host.images == {} and not list(host.settings.state.glob("image-*"))


def test_terabytes_of_zeros_are_no_image(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(bytes(64 * MIB)))
    monkeypatch.setattr(image_draft.Draft, "__init__", small(16 * MIB))

    with pytest.raises(Refused, match="larger than 16"):
        take(host, path)


def test_a_packed_image_is_given_up_when_it_is_not_wanted_any_more(
    host: Any, tmp_path: Path
) -> None:
    path = tmp_path / "packed"
    path.write_bytes(gzip.compress(bytes(8 * MIB)))
    job = host.jobs.begin("take image", "alice")
    token = jobs.current.set(job)
    job.cancelled.set()
    try:
        with pytest.raises(Cancelled):
            take(host, path)
    finally:
        jobs.current.reset(token)


@pytest.mark.parametrize("packed", [bz2.compress, lambda data: gzip.compress(gzip.compress(data))])
def test_what_mcv_does_not_unpack_is_refused_and_not_written_as_it_is(
    host: Any, tmp_path: Path, packed: Any
) -> None:
    path = raw(tmp_path / "disk.raw")
    path.write_bytes(packed(path.read_bytes()))

    with pytest.raises(Refused, match=r"compressed \((gzip|bzip2)\)"):
        take(host, path)


@pytest.mark.parametrize("moment", [1, 2])
def test_what_is_judged_is_what_is_read(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """The owner gives the image a backing file right after a judgement."""
    secret, evil = raw(tmp_path / "secret"), tmp_path / "evil"
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-f", "qcow2", str(path), "1M")
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", str(secret), str(evil))
    judge, judgements = image._judge, []

    def judged(fd: int, told: str | None) -> tuple[int, bool]:
        judgements.append(judge(fd, told))
        if len(judgements) == moment:
            path.write_bytes(evil.read_bytes())
        return judgements[-1]

    monkeypatch.setattr(image, "_judge", judged)

    if moment == 1:
        with pytest.raises(Refused, match="backing file"):
            take(host, path)
    else:
        assert whole(host, take(host, path), tmp_path / "device") == bytes(MIB)
    assert path.read_bytes() == evil.read_bytes()


def test_an_image_that_becomes_shorter_fills_no_disk(host: Any, tmp_path: Path) -> None:
    path = raw(tmp_path / "disk.raw")
    taken = take(host, path)
    os.truncate(path, 4096)

    with pytest.raises(McvError, match="ended after 4096 of"):
        whole(host, taken, tmp_path / "device")


def test_a_fifo_holds_no_thread(host: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(Refused, match="no regular file"):
            image.take(host, os.getpid(), fd)
    finally:
        os.close(fd)


def test_only_a_regular_file_is_an_image(host: Any, tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path):
        with pytest.raises(Refused, match="no regular file"):
            take(host, path)
    with pytest.raises(Refused, match="cannot be read"):
        image.take(host, os.getpid(), 9999)


def test_the_image_stays_the_one_that_was_opened(host: Any, tmp_path: Path) -> None:
    path = raw(tmp_path / "disk.raw")
    text = path.read_bytes()
    taken = take(host, path)

    path.unlink()
    path.write_bytes(b"another")

    assert whole(host, taken, tmp_path / "device") == text


def test_an_image_is_held_until_it_is_dropped_and_no_longer(host: Any, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    tokens = [take(host, raw(tmp_path / f"{one}.raw")).token for one in range(3)]
    qemu_img("convert", "-O", "qcow2", str(tmp_path / "0.raw"), str(tmp_path / "0.qcow2"))
    tokens.append(take(host, tmp_path / "0.qcow2").token)
    assert len(os.listdir("/proc/self/fd")) == before + 4

    for token in (*tokens, *tokens):
        image.drop(host, token)

    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(NotFound, match="not held open any more"):
        image.read(host, tokens[0], 0)
    (tmp_path / "device").touch()
    with pytest.raises(NotFound):
        image.fill(host, "n1", tokens[0], str(tmp_path / "device"), "raw")


def test_a_disk_that_takes_no_more_is_an_error_in_words(host: Any, tmp_path: Path) -> None:
    taken = take(host, raw(tmp_path / "disk.raw"))

    with pytest.raises(McvError, match="Writing /dev/full failed: No space left"):
        image.fill(host, "n1", taken.token, "/dev/full", "raw")


def qcow2_image(path: Path, size: str = "1M", *options: str) -> Path:
    qemu_img("create", "-f", "qcow2", *options, str(path), size)
    return path


def altered(path: Path, at: int, value: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(value)
    return path


def test_no_tool_reads_an_image_before_it_is_judged(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """qemu-img info opens the data file that an image names, whatever that is."""

    def run(*words: str, **_: Any) -> str:
        raise AssertionError(f"{words} was run")

    split = tmp_path / "split.qcow2"
    data = f"data_file={tmp_path}/data"
    qemu_img("create", "-f", "qcow2", "-o", data, str(split), "1M")
    monkeypatch.setattr(process, "run", run)
    with pytest.raises(Refused, match="data in another file"):
        take(host, split)
    # The bit that says so is cleared, the name stays.
    features = int.from_bytes(split.read_bytes()[72:80], "big") & ~4
    with pytest.raises(Refused, match="data in another file"):
        take(host, altered(split, 72, features.to_bytes(8, "big")))


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (4, b"\0\0\0\x04", "version"),
        (72, b"\0\0\0\0\0\0\x01\0", "version"),
        (20, b"\0\0\0\x1f", "version"),
        (8, b"\0\0\0\0\0\x01\0\0", "backing file"),
        (32, b"\0\0\0\x01", "encrypted"),
        (24, b"\x7f" * 8, "tables do not fit"),
        (40, b"\x3f" * 8, "ends before its tables"),
    ],
)
def test_an_image_that_cannot_be_judged_is_refused(
    host: Any, tmp_path: Path, at: int, value: bytes, why: str
) -> None:
    path = altered(qcow2_image(tmp_path / "disk.qcow2"), at, value)

    with pytest.raises(Refused, match=why):
        take(host, path)

    assert host.images == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")
def test_the_conversion_opens_nothing_but_the_image(tmp_path: Path) -> None:
    """Were the judgement wrong, the conversion still reads no other file."""
    secret = raw(tmp_path / "secret")
    secret.chmod(0o600)
    backed, split = tmp_path / "backed.qcow2", tmp_path / "split.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(backed))
    data = f"data_file={secret},data_file_raw=on"
    qemu_img("create", "-f", "qcow2", "-o", data, str(split), "1M")
    secret = raw(tmp_path / "secret")  # the creation emptied it

    for path, target in ((backed, tmp_path / "one"), (split, tmp_path / "two")):
        with path.open("rb") as source, target.open("w+b") as written:
            try:
                qemu_img_driver.convert(source.fileno(), written.fileno(), MIB)
            except CommandFailed as error:
                assert "Permission denied" in error.message
            assert secret.read_bytes()[:4096] not in target.read_bytes()


def test_an_image_for_which_there_is_no_room_is_refused(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("convert", "-O", "qcow2", str(raw(tmp_path / "raw")), str(path))
    monkeypatch.setattr(image, "KEPT_FREE", 1 << 62)
    with pytest.raises(Refused, match=r"Its copy takes .* to spare"):
        take(host, path)

    monkeypatch.setattr(image, "KEPT_FREE", 0)
    monkeypatch.setattr(qcow2, "unpacked", lambda *_: 1 << 62)
    with pytest.raises(Refused, match=r"The unpacked image takes .* to spare"):
        take(host, path)

    assert host.images == {} and not list(host.settings.state.glob("image-*"))


@pytest.mark.parametrize(
    ("written", "options", "most"),
    [
        (3 * MIB, (), 3 * MIB),
        (3 * MIB, ("-c",), 3 * MIB),
        (3 * MIB, ("-o", "extended_l2=on"), 3 * MIB),
        (3 * MIB, ("-o", "compat=0.10"), 3 * MIB),
        (65536, (), 2 * 65536),
        (0, (), 0),
    ],
)
def test_how_large_an_image_unpacks_is_known_before(
    tmp_path: Path, written: int, options: tuple[str, ...], most: int
) -> None:
    source = tmp_path / "raw"
    source.write_bytes(os.urandom(written))
    os.truncate(source, 64 * MIB)
    path = tmp_path / "disk.qcow2"
    qemu_img("convert", "-O", "qcow2", *options, str(source), str(path))

    with path.open("rb") as file:
        needed = qcow2.unpacked(file.fileno(), qcow2.header(file.fileno()))

    assert written <= needed <= most
