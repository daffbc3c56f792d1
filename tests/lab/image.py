"""The disk every node starts from: the working tree installed, and what makes a host a lab node.

It holds an overlay's upper directory, to be laid over the host's own root. Made once and
kept; a change of mcv's code alone renews that code and the image, nothing else.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from tests.lab.host import MODULES, TREE, LabError, run, say

HERE = Path(__file__).parent
SIZE = "4G"
XSTATE = HERE / "xstate.c"
PASSWORD = "lab-password"
# What `openssl passwd -6 lab-password` says: any node of any lab opens to it.
PASSWORD_HASH = (
    "$6$rounds=5000$.6KD4SxTEJxlGuhW$7OEF7ZuDl/1NM7DO0DcMWTzxdRMBkpXt5obWfS/"
    "hYUzFvnCCObsrYUXqJ6Cn3ys2ok0NiifIMa/o88E.Dtoqr."
)


def _words(text: str) -> list[str]:
    return text.split()


# Of these directories a node sees nothing that the host has: its services, jobs, keys, state.
HIDDEN = _words("""
    etc/cron.d etc/cron.daily etc/cron.hourly etc/cron.monthly etc/cron.weekly
    etc/drbd.d etc/init.d etc/rc0.d etc/rc1.d etc/rc2.d etc/rc3.d etc/rc4.d etc/rc5.d
    etc/rc6.d etc/rcS.d etc/libvirt/qemu etc/lvm/archive etc/lvm/backup etc/lvm/devices etc/mcv
    etc/modules-load.d etc/network etc/profile.d etc/ssh etc/sysctl.d etc/systemd/network
    etc/systemd/journald.conf.d etc/systemd/system etc/systemd/system.conf.d
    opt/mcv root usr/local/bin usr/local/sbin var/cache/libvirt var/lib/drbd var/lib/libvirt
    var/lib/mcv var/lib/systemd var/log var/spool/cron/crontabs var/tmp
""")

# What a node runs: what Debian enables with these packages, and what the lab adds.
ENABLED = {
    "local-fs": ["tmp.mount"],
    "sysinit": ["apparmor.service", "blk-availability.service", "lvm2-monitor.service"],
    "network-online": ["systemd-networkd-wait-online.service"],
    "multi-user": _words("""
        cron.service lab-disk.service libvirt-guests.service libvirtd.service machines.target
        remote-fs.target ssh.service systemd-networkd.service
    """),
    "sockets": _words("""
        dm-event.socket libvirtd-admin.socket libvirtd-ro.socket libvirtd.socket
        lvm2-lvmpolld.socket virtlockd-admin.socket virtlockd.socket virtlogd-admin.socket
        virtlogd.socket
    """),
}
# A systemd session for root costs each first login seconds; there is no /var/lib/machines here.
# An etcd of Debian's would take the ports that mcv's own listens on.
MASKED = ["etcd.service", "user@.service", "user-runtime-dir@.service", "var-lib-machines.mount"]


class Image:
    """The image in a lab's directory, and what it was made from."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "root.img"
        self.init = directory / "init"
        self.key = directory / "key"
        self.xstate = directory / "xstate.so"
        self.capabilities = directory / "capabilities"
        self._tree = directory / "tree"
        self._made = directory / "made"
        self.directory = directory

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other labs of the same image waiting while it is made and copied."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def prepare(self, public_key: str) -> None:
        """Make or renew what is out of date; seconds, or nothing at all."""
        install = _digest([*_files(TREE / "etc"), *_files(HERE / "root"), *_SOURCES])
        install += public_key
        code = _digest(_files(TREE / "mcv"))
        capabilities = _digest(_files(self.capabilities))

        upper = self._tree / "upper"
        self.init.write_bytes((HERE / "init.sh").read_bytes())
        self.init.chmod(0o755)
        if not self._is_made("xstate", xstate := _digest([XSTATE])):
            compile_xstate(self.xstate)
            self._note("xstate", xstate)
        if not self._is_made("install", install):
            self._forget("install", "code", "image")
            self._install(upper, public_key)
            self._note("install", install)
            self._note("code", code)
        if not self._is_made("code", code):
            self._forget("code", "image")
            _renew_code(upper)
            self._note("code", code)
        if not self._is_made("image", image := install + code + capabilities):
            self._forget("image")
            self._format(upper)
            self._note("image", image)

    def copy(self, to: Path) -> None:
        run("cp", "--sparse=always", "--reflink=auto", self.file, to)

    @cached_property
    def emulator_key(self) -> str:
        """Changes when libvirt would probe QEMU again: it looks at when its files changed."""
        watched = [
            "/usr/bin/qemu-system-x86_64",
            "/usr/sbin/libvirtd",
            "/usr/lib/x86_64-linux-gnu/qemu",
        ]
        return " ".join(str(os.stat(path).st_ctime_ns) for path in watched if os.path.exists(path))

    @property
    def knows_the_emulator(self) -> bool:
        return self._is_made("capabilities", self.emulator_key)

    def keep_capabilities(self, files: dict[str, bytes]) -> None:
        """Keep what libvirt learned about QEMU on a node, for the nodes to come."""
        shutil.rmtree(self.capabilities, ignore_errors=True)
        self.capabilities.mkdir()
        for name, content in files.items():
            (self.capabilities / name).write_bytes(content)
        self._note("capabilities", self.emulator_key)

    def _install(self, upper: Path, public_key: str) -> None:
        shutil.rmtree(self._tree, ignore_errors=True)
        for name in HIDDEN:
            (upper / name).mkdir(parents=True)
        say("installing the working tree for the nodes, with what it takes from PyPI")
        run("make", "--silent", "--directory", TREE, "install", f"DESTDIR={upper}", timeout=900)
        shutil.copytree(HERE / "root", upper, dirs_exist_ok=True)
        _enable(upper / "etc/systemd/system")
        _fill(upper, public_key)

    def _format(self, upper: Path) -> None:
        """Write the upper directory into a file system, its hidden directories marked as such."""
        cache = upper / "var/cache/libvirt/qemu/capabilities"
        shutil.rmtree(cache, ignore_errors=True)
        if self.capabilities.exists():
            shutil.copytree(self.capabilities, cache)
        for stamp in (upper / "etc/.updated", upper / "var/.updated"):
            stamp.unlink(missing_ok=True)
            stamp.touch()
        say("making the disk that nodes start from")
        self.file.unlink(missing_ok=True)
        quick = "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0"
        run("mke2fs", "-q", "-t", "ext4", "-E", quick, "-d", self._tree, self.file, SIZE)
        marks = [f"ea_set upper/{name} trusted.overlay.opaque y" for name in HIDDEN]
        told = run("debugfs", "-w", "-f", "-", self.file, stdin="\n".join(marks) + "\n")
        if "not found" in told or "error" in told.lower():
            raise LabError(f"The image cannot be marked: {told}")

    def _is_made(self, part: str, key: str) -> bool:
        note = self._made / part
        return note.exists() and note.read_text() == key

    def _note(self, part: str, key: str) -> None:
        self._made.mkdir(exist_ok=True)
        (self._made / part).write_text(key)

    def _forget(self, *parts: str) -> None:
        for part in parts:
            (self._made / part).unlink(missing_ok=True)


_SOURCES = [
    *(TREE / name for name in ("Makefile", "pyproject.toml", "setup.cfg")),
    *(HERE / name for name in ("image.py", "init.sh")),
    Path("/usr/bin/python3"),
]


def compile_xstate(to: Path) -> Path:
    """Make what a node's kernel needs on new processors; one that runs keeps what it has."""
    beside = to.with_suffix(".new")
    run("gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", beside, XSTATE)
    return beside.replace(to)


def _fill(upper: Path, public_key: str) -> None:
    """Write what depends on the host or the lab: its users, the key, who may log in."""
    shadow = Path("/etc/shadow").read_text().splitlines()
    others = [line for line in shadow if not line.startswith("root:")]
    _write(
        upper / "etc/shadow",
        "\n".join([f"root:{PASSWORD_HASH}:19700:0:99999:7:::", *others]),
        0o640,
    )
    _write(upper / "root/.ssh/authorized_keys", public_key, 0o600)
    _write(upper / "root/.bashrc", "", 0o644)
    _write(upper / "root/.profile", "", 0o644)
    (upper / "root").chmod(0o700)
    (upper / "root/.ssh").chmod(0o700)
    (upper / "var/log/journal").mkdir()
    (upper / "var/tmp").chmod(0o1777)
    (upper / "var/spool/cron/crontabs").chmod(0o1730)
    shutil.copy2("/etc/drbd.d/global_common.conf", upper / "etc/drbd.d")
    # /lib/modules of a node has its own kernel's modules, whatever the host has there.
    (upper / "usr/lib").mkdir()
    (upper / "usr/lib/modules").symlink_to(MODULES.relative_to("/usr/lib"))
    # The nodes' kernel has nf_tables without IPv4, which libvirt's own networks need.
    (upper / "etc/alternatives").mkdir()
    for tool in ("iptables", "ip6tables"):
        (upper / "etc/alternatives" / tool).symlink_to(f"/usr/sbin/{tool}-legacy")
    # The configuration as installed, for the reset between tests.
    shutil.copy2(upper / "etc/mcv/mcv.conf", upper / "var/lib/lab-mcv.conf")


def _enable(units: Path) -> None:
    for target, names in ENABLED.items():
        wants = units / f"{target}.target.wants"
        wants.mkdir(exist_ok=True)
        for name in names:
            vendor = "/etc" if (units / name).exists() else "/usr/lib"
            (wants / name).symlink_to(f"{vendor}/systemd/system/{name}")
    # Without it systemd spends the boot deleting the host's /tmp in the overlay.
    (units / "tmp.mount").symlink_to("/usr/share/systemd/tmp.mount")
    for name in MASKED:
        (units / name).symlink_to("/dev/null")


def _renew_code(upper: Path) -> None:
    installed = next((upper / "opt/mcv/lib").glob("python3*/site-packages/mcv"))
    shutil.rmtree(installed)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TREE / "mcv", installed, ignore=ignore)
    run("chmod", "-R", "go-w", installed)  # a clone may have been made with a lax umask
    strip = ("-s", str(upper), "-p", "/")
    run("/usr/bin/python3", "-m", "compileall", "-q", *strip, installed)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _files(directory: Path) -> Iterable[Path]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file}\0{file.stat().st_mode:o}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
