"""What the lab uses of the machine it runs on: commands, a network of its own, its processes."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
MODULES = Path("/usr/lib/uml/modules")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMANDS = "linux.uml ip nsenter mke2fs debugfs ssh ssh-keygen make drbdadm lvcreate libvirtd sshd"
SHM = Path("/dev/shm")
CLUSTER_NET = "10.99.0"
CONTROL_NET = "10.98"
MOST_NODES = 5
USUAL = "/var/tmp/mcv-lab"


class LabError(Exception):
    """The lab itself cannot do what it was asked."""


def _namespace(directory: str) -> str:
    return "mcvlab" if directory == USUAL else f"mcvlab-{zlib.crc32(directory.encode()):08x}"


@dataclass(frozen=True)
class Place:
    """Where a lab lives: a directory, and a network namespace named after it."""

    directory: Path
    namespace: str

    @classmethod
    def from_environment(cls) -> "Place":
        """The lab that LAB (and NS) name, or the usual one; two places never meet."""
        directory = os.path.abspath(os.environ.get("LAB") or USUAL)
        if any(character.isspace() for character in directory):
            raise LabError(f"LAB={directory} has a space in it; kernel arguments cannot.")
        return cls(Path(directory), os.environ.get("NS") or _namespace(directory))

    def beside(self, name: str) -> "Place":
        """Another place, the same that LAB would name it by its directory alone."""
        directory = f"{self.directory}-{name}"
        return Place(Path(directory), _namespace(directory))

    def umid(self, number: int) -> str:
        return f"{self.namespace}-node{number}"


def say(text: str) -> None:
    """Say what the lab is doing: nothing of it shows otherwise while it lasts."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, stdin: str = "", timeout: float = 120) -> str:
    """Run a command of the host to its end and return what it printed, or say how it failed."""
    line = " ".join(map(str, command))
    try:
        done = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            env={**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8"},
            timeout=timeout,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"`{line}`: the command is missing. Install it with: make packages"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{line}` ran past {timeout:.0f} s.") from error
    if done.returncode != 0:
        raise LabError(f"`{line}` exited with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def require() -> None:
    """Name everything that this machine lacks for a lab, at once."""
    missing = [
        f"the command {command}"
        for command in COMMANDS.split()
        if shutil.which(command, path=PATH) is None
    ]
    if not any(MODULES.glob("*/modules.dep")):
        missing.append(f"kernel modules in {MODULES}")
    if not os.path.exists("/dev/net/tun"):
        missing.append("/dev/net/tun (modprobe tun)")
    if os.geteuid() != 0:
        raise LabError("The lab needs root: it makes a network namespace and tap devices.")
    if missing:
        raise LabError(f"The lab needs {', '.join(missing)}. Try: make packages")


def why_not_in_memory(size: int) -> str | None:
    """Why a node's memory of so many bytes cannot lie in /dev/shm; None where it can.

    The node's programs run from that file, and its kernel ends at once where it may not.
    """
    if not SHM.is_dir():
        return f"there is no {SHM}"
    shm = os.statvfs(SHM)
    if shm.f_flag & os.ST_NOEXEC:
        return f"{SHM} is mounted noexec (mount -o remount,exec {SHM})"
    if shm.f_bavail * shm.f_frsize < size:
        return f"{SHM} has less than {size >> 20} MiB left"
    return None


def require_executable(directory: Path) -> None:
    """A node runs files of its lab's directory, where a mount may forbid that."""
    if os.statvfs(directory).f_flag & os.ST_NOEXEC:
        raise LabError(
            f"{directory} is mounted noexec, and nodes run files in it. "
            "Have the lab elsewhere with LAB=DIRECTORY in the environment."
        )


def allow_many_files() -> None:
    """Raise the limit of open files: a node's root holds a host descriptor per file in use."""
    most = int(Path("/proc/sys/fs/nr_open").read_text())
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass(frozen=True)
class Network:
    """A bridge between the nodes, and a link from the host to each, in a namespace of their own.

    The second link is the tests': it stays when a node is cut off, and joins no two nodes.
    """

    namespace: str
    inside: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        within = ("nsenter", f"--net=/run/netns/{self.namespace}", "--")
        object.__setattr__(self, "inside", within)

    @property
    def is_up(self) -> bool:
        return Path("/run/netns", self.namespace).exists()

    def up(self) -> None:
        """Make the namespace and its bridge anew, unless they are there and whole."""
        if self.is_up and self._is_whole:
            return
        self.down()
        run("ip", "netns", "add", self.namespace)
        self._ip("link", "set", "lo", "up")
        # In a proc of its own: a container's has /proc/sys read-only.
        write = "mount -t proc proc /proc && echo 0 > /proc/sys/net/ipv4/ip_forward"
        run(*self.inside, "unshare", "--mount", "sh", "-c", write)
        self._ip("link", "add", "br0", "type", "bridge")
        self._ip("address", "add", f"{CLUSTER_NET}.254/24", "dev", "br0")
        self._ip("link", "set", "br0", "up")

    def down(self) -> None:
        if self.is_up:
            run("ip", "netns", "delete", self.namespace)

    @property
    def _is_whole(self) -> bool:
        """Whether the last thing that `up` does has been done; who died before left a half."""
        try:
            links = run(*self.inside, "ip", "-brief", "link", "show", "up", "type", "bridge")
        except LabError:
            return False
        return "br0" in links.split()

    def plug(self, number: int) -> None:
        """Make the two links of a node; one that is there stays as it is, cut off or not."""
        if self._has(f"tap{number}"):
            return
        control = f"control{number}"
        self._ip("tuntap", "add", control, "mode", "tap")
        self._ip("address", "add", f"{CONTROL_NET}.{number}.254/24", "dev", control)
        self._ip("link", "set", control, "up")
        self._ip("tuntap", "add", f"tap{number}", "mode", "tap")
        self._ip("link", "set", f"tap{number}", "master", "br0", "up")

    def cut(self, number: int) -> None:
        """Take a node's link out of the bridge; set down and up again it would stay deaf."""
        self._ip("link", "set", f"tap{number}", "nomaster")

    def heal(self, number: int) -> None:
        self._ip("link", "set", f"tap{number}", "master", "br0")

    def _has(self, link: str) -> bool:
        return link in run(*self.inside, "ip", "-brief", "link", "show").replace("@", " ").split()

    def _ip(self, *words: str) -> None:
        run("ip", "-n", self.namespace, *words)


def processes(*arguments: str) -> list[int]:
    """The processes whose command lines hold all these arguments, each as a whole word."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            dead = (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            continue
        if not dead and all(argument in words for argument in arguments):
            found.append(int(entry.name))
    return found


def is_stopped(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal; who is gone already needs none."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def end(*arguments: str, kernel: Collection[int] = (), timeout: float = 10) -> None:
    """Kill the processes with these arguments and wait until none is left.

    A node's kernel is stopped first and killed last: a program of the node whose tracer is
    dead runs on by itself for a moment, and makes its next system call on the host, with the
    files that the kernel had open: a disk of the node was cut off by it.
    """
    until = time.monotonic() + timeout
    send(signal.SIGSTOP, kernel)
    while pids := processes(*arguments):
        send(signal.SIGKILL, [pid for pid in pids if pid not in kernel] or pids)
        if time.monotonic() > until:
            raise LabError(f"The processes {pids} of {' '.join(arguments)} do not end.")
        time.sleep(0.02)
