"""What a guest finds at its first boot: taken from the caller's files, held, made into a seed.

Passwords may be in it. So it is neither in the document nor in a plan: the daemon holds it in
memory under a token, and writes it to the VM's own seed disk.
"""

import base64
import os
import re
import stat

import msgspec
from msgspec import Struct

from mcv.document.model import Vm
from mcv.drivers import nocloud
from mcv.errors import NotUnderstood, Refused, refuse_all
from mcv.host import Host
from mcv.system.held_file import HeldFile
from mcv.vm import image as images

MOST_USER_DATA = 1024**2  # bytes
MOST_KEYS = 64 * 1024
MOST_PARTS = 2 * (MOST_USER_DATA + MOST_KEYS)
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*", re.IGNORECASE)
PUBLIC_KEY = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?")
# How user-data begins by which cloud-init knows what to do with it.
BEGINNINGS = (b"#", b"Content-Type:", b"MIME-Version:", b"From ", b"\x1f\x8b")


class Parts(Struct, frozen=True, kw_only=True):
    """What a seed is made of: its user-data in base64, public keys, a host name or ""."""

    user_data: str = ""
    keys: list[str] = []
    hostname: str = ""


class TakenSeed(Struct, frozen=True, kw_only=True):
    """The parts of a seed that a node holds: its token there, and their size in bytes."""

    node: str
    token: str
    size: int


def take(
    host: Host,
    pid: int,
    user_data: int | None = None,
    keys: int | None = None,
    hostname: str | None = None,
) -> TakenSeed:
    """Read open files of the caller, and hold what is in them for a creation.

    Raises Refused, with every problem, for what no guest could use.
    """
    problems: list[Refused] = []
    data = b"" if user_data is None else _read(pid, user_data, "--cloud-init", MOST_USER_DATA)
    if user_data is not None and not data.startswith(BEGINNINGS):
        problems.append(
            Refused(
                "The file of --cloud-init does not begin as cloud-init's user-data does.",
                "Its first line is, for instance: #cloud-config",
            )
        )
    text = b"" if keys is None else _read(pid, keys, "--ssh-key", MOST_KEYS)
    found = [] if keys is None else _public_keys(text, problems)
    if hostname is not None and not HOSTNAME.fullmatch(hostname):
        problems.append(Refused(f"--hostname {hostname!r} is no host name."))
    refuse_all(problems)
    parts = Parts(user_data=base64.b64encode(data).decode(), keys=found, hostname=hostname or "")
    return held(host, msgspec.json.encode(parts))


def held(host: Host, content: bytes) -> TakenSeed:
    """Hold bytes in memory as images are held: read by a token, dropped after the creation."""
    fd = os.memfd_create("mcv-seed")
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(content)
    token = images.hold(host, HeldFile(fd, len(content)))
    return TakenSeed(node=host.name, token=token, size=len(content))


def made(host: Host, vm: Vm, source: str, token: str) -> bytes:
    """The seed of a VM, from the parts that a node holds."""
    content = _content(host, source, token)
    try:
        parts = msgspec.json.decode(content, type=Parts)
        user_data = base64.b64decode(parts.user_data, validate=True)
    except (msgspec.MsgspecError, ValueError) as error:
        raise NotUnderstood(f"{source} sent no parts of a seed: {error}.") from error
    return nocloud.seed(
        vm.uuid,
        parts.hostname or vm.name,
        parts.keys,
        user_data,
        [nic.mac for nic in vm.nics],
    )


def _content(host: Host, source: str, token: str) -> bytes:
    """The parts as a node holds them; NotUnderstood where there is more than there can be."""
    data, size = b"", 1
    while len(data) < size:
        chunk, size = images.part(host, source, token, len(data))
        if not chunk or size > MOST_PARTS:
            raise NotUnderstood(f"{source} sent {size} bytes for a seed.")
        data += chunk
    return data


def _read(pid: int, fd: int, option: str, most: int) -> bytes:
    """The content of an open file of the caller; Refused where it is no regular file of a size."""
    try:
        own = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Refused(f"The file of {option} cannot be read: {error.strerror}.") from error
    with os.fdopen(own, "rb") as file:
        status = os.fstat(own)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"The file of {option} is no regular file.")
        data = file.read(most + 1)
    if not data:
        raise Refused(f"The file of {option} is empty.")
    if len(data) > most:
        raise Refused(f"The file of {option} is larger than {most // 1024} KiB.")
    return data


def _public_keys(text: bytes, problems: list[Refused]) -> list[str]:
    """The public keys in a file, a line each."""
    if b"PRIVATE KEY" in text:
        problems.append(
            Refused("The file of --ssh-key is a private key.", "Name the public one: FILE.pub")
        )
        return []
    lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys or not all(PUBLIC_KEY.fullmatch(key) and key.isprintable() for key in keys):
        problems.append(
            Refused(
                "The file of --ssh-key does not hold public keys of ssh's, a line each.",
                "See: ssh-keygen -l -f FILE",
            )
        )
    return keys
