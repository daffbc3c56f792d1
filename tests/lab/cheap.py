"""A cheap lab: two private libvirtd of this host, and mcv's operations over their real doors.

Each libvirtd lives in mount, UTS and PID namespaces of its own: its /run, /etc/libvirt and
/var/lib/libvirt are directories of the lab, and all that it starts ends with it. The cluster is
that of tests/fakes with the real doors of directories, disks' bytes and libvirt, and streams
between its nodes; LVM and DRBD, which this host's kernel may lack, are fakes. Guests run under
TCG, as on the nodes.
"""

import contextlib
import functools
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from mcv.document.identity import known_uuids
from mcv.document.model import Cluster
from mcv.drivers.blocks import Blocks
from mcv.drivers.directories import Directories
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.libvirt_connection import libvirt_module
from mcv.errors import McvError, PeerUnreachable
from mcv.host import Host
from mcv.rpc import tunnel
from mcv.rpc.tunnel import Granted
from mcv.vm import streams
from tests.fakes.cluster import FakeCluster
from tests.lab import LabError

TREE = Path(__file__).parents[2]
PRIVATE = {
    "run": "/run",
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}
# Without /dev/kvm: libvirt looks for a new one each time that it finds one which does not work.
DEVICES = "null zero full random urandom tty pts"
# The shell stays as the first process of the namespace, and reaps the probes that QEMU leaves.
BEGIN = """
    hostname {name}
    {mounts}
    for device in {devices}; do
        if [ -d /dev/$device ]; then mkdir {home}/dev/$device; else : > {home}/dev/$device; fi
        mount --bind /dev/$device {home}/dev/$device
    done
    ln -s pts/ptmx {home}/dev/ptmx
    mount --rbind {home}/dev /dev
    libvirtd
    exit
"""
# Killed with the process that starts it, and with it everything in its namespaces.
APART = "setpriv --pdeathsig KILL unshare --mount --uts --pid --fork --kill-child --mount-proc"
LIBVIRTD_CONF = 'host_uuid = "{uuid}"\nauth_unix_rw = "none"\n'
QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
# As etc/libvirt-hook, with the settings of this lab's node.
HOOK = """#!/bin/sh
case "$2/$3" in
    prepare/begin | restore/begin | migrate/begin) ;;
    *) exit 0 ;;
esac
cd {tree} && exec {python} -m tests.lab.cheap {directory} {name} "$2"
"""
STARTING = 30.0  # s


class PrivateLibvirt:
    """A libvirtd of this host that knows nothing of another, as the libvirt of one node."""

    def __init__(self, home: Path, name: str, hook: str) -> None:
        self._home, self._name = home, name
        for part in (*PRIVATE, "dev"):
            (home / part).mkdir(parents=True)
        (home / "run/libvirt/mcv").mkdir(parents=True)
        (home / "lib/qemu").mkdir()
        (home / "log/console").mkdir()
        (home / "etc/hooks/qemu.d").mkdir(parents=True)
        (home / "etc/libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=uuid.uuid4()))
        (home / "etc/qemu.conf").write_text(QEMU_CONF)
        program = home / "etc/hooks/qemu.d/mcv"
        program.write_text(hook)
        program.chmod(0o755)
        mounts = "\n".join(f"mount --bind {home}/{part} {to}" for part, to in PRIVATE.items())
        begin = BEGIN.format(name=name, mounts=mounts, home=home, devices=DEVICES)
        self._process = subprocess.Popen(
            [*APART.split(), "sh", "-ec", begin],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(home / "libvirtd.log").open("w"),
        )

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self._home}/run/libvirt/libvirt-sock"

    def here(self, path: Path) -> Path:
        """The path by which this process sees what its libvirtd sees under another one."""
        for part, seen in PRIVATE.items():
            if path.is_relative_to(seen):
                return self._home / part / path.relative_to(seen)
        return path

    def await_answer(self) -> None:
        until, libvirt = time.monotonic() + STARTING, libvirt_module()
        while True:
            try:
                libvirt.open(self.uri).close()
                return
            except libvirt.libvirtError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    log = (self._home / "libvirtd.log").read_text()[-2000:]
                    raise LabError(f"libvirtd of {self._name} does not answer: {log}") from error
                time.sleep(0.05)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class CheapCluster(FakeCluster):
    """Two nodes in one process whose libvirt, files and streams are real."""

    def __init__(self, directory: Path, libvirts: dict[str, PrivateLibvirt]) -> None:
        self.libvirts = libvirts
        super().__init__(directory, tuple(libvirts))

    def boot(self, name: str, first: Cluster | None = None) -> Host:
        host = super().boot(name, first)
        known = functools.partial(_known, host)
        host.domains = Hypervisor(known, self.libvirts[name].uri, name)
        host.directories = Directories()
        host.blocks = Blocks()
        host.settings.run.mkdir(parents=True, exist_ok=True)
        host.settings.images.mkdir(parents=True, exist_ok=True)
        host.tunnel = self._real_tunnel(name)
        return host

    def _real_tunnel(self, me: str) -> Callable[..., Any]:
        """mcv's own tunnel, without the TLS."""

        def reach(node: str, asked: tunnel.Asked) -> Any:
            if node in self.down or me in self.down:
                raise PeerUnreachable(f"{node} does not answer.")
            ours, theirs = socket.socketpair()
            threading.Thread(target=self._serve, args=(theirs, node, me), daemon=True).start()
            try:
                tunnel.ask(cast(Any, ours), asked)
            except OSError as error:
                ours.close()
                raise PeerUnreachable(f"{node} refuses the stream.") from error
            return ours

        @contextlib.contextmanager
        def opened(path: Path, node: str, asked: tunnel.Asked) -> Iterator[None]:
            with tunnel.tunnel(self.libvirts[me].here(path), node, asked, reach):
                yield

        return opened

    def _serve(self, sock: socket.socket, node: str, member: str) -> None:
        def target(member: str, asked: tunnel.Asked) -> Granted:
            granted = streams.target(self.hosts[node], member, asked)
            return granted._replace(path=self.libvirts[node].here(granted.path))

        with sock, contextlib.suppress(McvError, OSError):
            tunnel.serve(cast(Any, sock), member, target)


def _known(host: Host) -> dict[str, str]:
    return known_uuids(host.both())


@contextlib.contextmanager
def up(directory: Path, names: tuple[str, ...] = ("n1", "n2")) -> Iterator[CheapCluster]:
    """The cluster, its libvirts answering; all of it ends with the context."""
    if os.geteuid() != 0:
        raise LabError("The lab needs root: it makes namespaces.")
    libvirts: dict[str, PrivateLibvirt] = {}
    try:
        for name in names:
            hook = HOOK.format(
                tree=TREE, python=sys.executable, directory=directory / "nodes", name=name
            )
            libvirts[name] = PrivateLibvirt(directory / "libvirt" / name, name, hook)
        for door in libvirts.values():
            door.await_answer()
        yield CheapCluster(directory / "nodes", libvirts)
    finally:
        for door in libvirts.values():
            door.end()


def main() -> None:
    """The hook of a node, which libvirt runs: DIRECTORY NAME OPERATION, the domain on stdin."""
    from mcv.vm import libvirt_hook
    from tests.fakes.cluster import settings_of

    directory, name, operation = sys.argv[1:]
    sys.exit(libvirt_hook.answer(settings_of(Path(directory), name), operation, sys.stdin.read()))


if __name__ == "__main__":
    main()
