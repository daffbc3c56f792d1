"""One node of the lab: commands over ssh, death and return, cut off and healed."""

import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab import host
from tests.lab.host import CLUSTER_NET, CONTROL_NET, LabError, Network, Place
from tests.lab.image import Image

DATA_SIZE = 4 << 30
MEMORY_MIB = 2048
ROOM = 2 * MEMORY_MIB << 20  # for the memory of a node, and another beside it
HERE = Path(__file__).parent


class CommandError(LabError):
    """A command on a node ended with another exit code than zero."""

    def __init__(self, node: str, command: str, result: "Result") -> None:
        super().__init__(
            f"{node}: `{command}` exited with {result.code}\n{result.stdout}{result.stderr}"
        )
        self.result = result


@dataclass(frozen=True)
class Result:
    """What a command on a node said, and how it ended."""

    stdout: str
    stderr: str
    code: int


class Node:
    """A host of the cluster. Its disks stay when it dies; its cluster link can be cut.

    Commands travel over a link of their own, so a node that is cut off still answers the test.
    """

    def __init__(self, number: int, place: Place, network: Network, image: Image) -> None:
        self.number = number
        self.name = f"node{number}"
        self.address = f"{CLUSTER_NET}.{number}"
        self.card = f"52:54:00:10:99:0{number}"  # the MAC, in the cluster's network
        # The kernel's security module, from the next start on; without a word it is SELinux,
        # which has no policy here and so says nothing.
        self.security = ""
        # From the first boot on: "witness" is a machine without mcv.
        self.role = ""
        self.directory = place.directory / self.name
        self.console = self.directory / "console.log"
        self._root = self.directory / "root.img"
        self._data = self.directory / "data.img"
        self._pid = self.directory / "pid"
        self._socket = place.directory / f"ssh{number}"
        self._umid = place.umid(number)
        self._uml = place.directory / "uml"
        self._connecting = threading.Lock()
        self._network = network
        self._image = image
        self._process: subprocess.Popen[bytes] | None = None

    # Life and death

    @property
    def is_running(self) -> bool:
        """Also while a process that was started here is still on its way to the node's kernel.

        At each step of that (nsenter, the kernel, the kernel without address randomisation) its
        command line is empty for a moment, and tells no node.
        """
        return self._is_started or bool(self._processes())

    @property
    def _is_started(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def boot(self, timeout: float = 150) -> None:
        """Start the node with the disks it has, at first with new ones, and wait until it is up.

        Now and then a kernel ends before it answers: it is started once more.
        """
        self.power_on()
        try:
            self.wait(timeout)
        except LabError:
            if self.is_running:
                raise
            self.power_on()
            self.wait(timeout)

    def power_on(self) -> None:
        """Start the node and wait for nothing."""
        if self.is_running:
            raise LabError(f"{self.name} is running already.")
        self._network.plug(self.number)
        self._uml.mkdir(exist_ok=True)
        if not self._data.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            self._image.copy(self._root)
            with self._data.open("wb") as disk:
                disk.truncate(DATA_SIZE)
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                [*self._network.inside, "linux.uml", *self._kernel_arguments()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=self._environment(),
                start_new_session=True,
            )
        self._pid.write_text(f"{self._process.pid}\n")

    @property
    def life(self) -> str:
        """Tells one run of the node from the next; "" while it is off."""
        return self._pid.read_text() if self.is_running and self._pid.exists() else ""

    def wait(self, timeout: float = 150) -> None:
        """Wait until the node answers and systemd has started everything that it will."""
        until = time.monotonic() + timeout
        self.reach(timeout)
        left = max(1.0, until - time.monotonic())
        self.run("systemctl is-system-running --wait", check=False, timeout=left)

    def reach(self, timeout: float = 150) -> None:
        """Wait until the node answers, whatever it has yet to start."""
        until = time.monotonic() + timeout
        while not self._connect():
            if not self.is_running or time.monotonic() > until:
                raise LabError(
                    f"{self.name} did not come up; the end of {self.console}: {self._end()}"
                )
            time.sleep(0.3)

    def kill(self) -> None:
        """Sudden death: nothing is flushed, nobody is told."""
        self._disconnect()
        host.end(*self._arguments(), kernel=self._kernel())
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def shutdown(self, timeout: float = 180) -> None:
        """Shut down in good order and wait until the node is off."""
        self.run("systemctl poweroff", check=False)
        self.wait_off(timeout)

    def wait_off(self, timeout: float) -> float:
        """Wait until the node is off by itself, and say when it was seen, by time.monotonic().

        A reset ends it as well (`noreboot`), a watchdog's too; `boot` starts it again.
        """
        until = time.monotonic() + timeout
        while self.is_running:
            if time.monotonic() > until:
                raise LabError(f"{self.name} does not go off; its console: {self._end()}")
            time.sleep(0.1)
        off = time.monotonic()
        self._disconnect()
        return off

    @property
    def exit_code(self) -> int | None:
        """How the kernel that was started here has ended: 0 after a reset or a shutdown."""
        return self._process.poll() if self._process is not None else None

    def freeze(self) -> None:
        """Stop the whole node where it stands; it hangs, and knows nothing of it."""
        host.send(signal.SIGSTOP, self._kernel())

    def thaw(self) -> None:
        """Let a frozen node go on; harmless when it is not frozen."""
        host.send(signal.SIGCONT, [pid for pid in self._kernel() if host.is_stopped(pid)])

    def renew(self) -> None:
        """Kill the node and forget its disks; the next boot is its first."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # The cluster's network

    def cut(self) -> None:
        """Cut the node off from all others; `run` still reaches it."""
        self._network.cut(self.number)

    def heal(self) -> None:
        self._network.heal(self.number)

    # Commands

    def run(
        self, command: str, *, check: bool = True, timeout: float = 60, stdin: str = ""
    ) -> Result:
        """Run a shell command as root; raises CommandError when it fails and `check` is on."""
        self._require_connection()
        try:
            done = subprocess.run(
                self.ssh(command),
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.name}: `{command}` ran past {timeout:.0f} s.") from error
        result = Result(done.stdout, done.stderr, done.returncode)
        if check and result.code != 0:
            raise CommandError(self.name, command, result)
        return result

    def start(self, command: str) -> "subprocess.Popen[str]":
        """Start a command and go on; the caller waits for it or ends it."""
        self._require_connection()
        pipe = subprocess.PIPE
        return subprocess.Popen(self.ssh(command), stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def put(self, data: bytes | str, path: str) -> None:
        """Write a file of the node, and its directory."""
        content = data.encode() if isinstance(data, str) else data
        self._require_connection()
        command = f'mkdir -p "$(dirname {path})" && cat > {path}'
        done = subprocess.run(self.ssh(command), input=content, capture_output=True, timeout=60)
        if done.returncode != 0:
            result = Result("", done.stderr.decode(errors="replace"), done.returncode)
            raise CommandError(self.name, command, result)

    def sigstop(self, unit: str = "mcvd") -> None:
        """Stop a daemon's main process; it hangs until `sigcont`."""
        self._signal("STOP", unit)

    def sigcont(self, unit: str = "mcvd") -> None:
        self._signal("CONT", unit)

    def sigkill(self, unit: str = "mcvd") -> None:
        """End a daemon's main process at once; systemd may start it again."""
        self._signal("KILL", unit)

    def _signal(self, signal_: str, unit: str) -> None:
        self.run(f"systemctl kill --kill-whom=main --signal={signal_} {unit}")

    def reset(self) -> None:
        """Take away everything that mcv made, and start mcvd anew; the node keeps running."""
        self.run("bash -s", stdin=(HERE / "reset.sh").read_text(), timeout=90)

    def ssh(self, *command: str, terminal: bool = False) -> list[str]:
        """The host's command line that runs a command on the node."""
        target = f"root@{CONTROL_NET}.{self.number}.1"
        options = ["-tt"] if terminal else []
        return [*self._network.inside, "ssh", *self._ssh_options(), *options, target, *command]

    # What is below

    def _kernel_arguments(self) -> list[str]:
        number = self.number
        link = "transport=tap,depth=128,gro=1"
        return [
            f"mem={MEMORY_MIB}M",
            *self._arguments(),
            "con=null",
            "con0=null,fd:2",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            f"init={self._image.init}",
            f"ubda={self._root}",
            f"ubdb={self._data}",
            f"vec0:{link},ifname=tap{number},mac={self.card}",
            f"vec1:{link},ifname=control{number},mac=52:54:00:10:98:0{number}",
            f"node={number}",
            # A kernel that executes itself anew finds its network devices busy: it ends instead,
            # and whoever waits for the node switches it on, as a machine's firmware would.
            "noreboot",
            *([f"security={self.security}"] if self.security else []),
            *([f"role={self.role}"] if self.role else []),
        ]

    def _environment(self) -> dict[str, str]:
        """What the kernel of the node finds in its environment, on the host."""
        own = {"PATH": host.PATH, "HOME": str(self._uml), "LD_PRELOAD": str(self._image.xstate)}
        return own | self._memory_place()

    def _memory_place(self) -> dict[str, str]:
        """A node's memory is a file in /dev/shm, or else in the lab's directory."""
        is_usable = host.why_not_in_memory(ROOM) is None
        return {} if is_usable else {"TMPDIR": str(self._uml)}

    def _arguments(self) -> list[str]:
        """What tells this node's processes from all others on the machine."""
        return [f"umid={self._umid}", f"uml_dir={self._uml}/"]

    def _processes(self) -> list[int]:
        return host.processes(*self._arguments())

    def _kernel(self) -> list[int]:
        """The process that is the node's kernel; the others run its programs under its trace."""
        pid = int(self._pid.read_text()) if self._pid.exists() else 0
        return [pid] if pid in self._processes() else []

    def _ssh_options(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "3",
            "ControlPath": str(self._socket),
            "IdentityFile": str(self._image.key),
            "KexAlgorithms": "curve25519-sha256",
            "LogLevel": "ERROR",
            "ServerAliveInterval": "10",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
        }
        return [
            "-F",
            "none",
            *(word for pair in options.items() for word in ("-o", "=".join(pair))),
        ]

    def _require_connection(self) -> None:
        with self._connecting:
            if not self._socket.exists() and not self._connect():
                raise LabError(f"{self.name} does not answer.")

    def _connect(self) -> bool:
        """Open the connection that all commands share; a handshake of its own is slow in a node."""
        if not self.is_running:
            return False
        target = f"root@{CONTROL_NET}.{self.number}.1"
        options = [*self._ssh_options(), "-o", "ControlMaster=yes", "-N"]
        self._disconnect()
        with open(os.devnull, "r+b") as nothing:
            master = subprocess.Popen(
                [*self._network.inside, "ssh", *options, target],
                stdin=nothing,
                stdout=nothing,
                stderr=nothing,
                start_new_session=True,
            )
        until = time.monotonic() + 20
        while not self._socket.exists():
            if master.poll() is not None or time.monotonic() > until:
                host.send(signal.SIGKILL, [master.pid])
                master.wait()
                return False
            time.sleep(0.05)
        self._master = master
        return True

    def _disconnect(self) -> None:
        host.end("ssh", f"ControlPath={self._socket}", "ControlMaster=yes")
        self._socket.unlink(missing_ok=True)
        master = getattr(self, "_master", None)
        if master is not None:
            master.wait()

    def _end(self) -> str:
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return "\n".join(text.splitlines()[-15:])
