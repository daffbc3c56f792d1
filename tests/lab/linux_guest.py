"""A guest that is a real Linux: it says on its serial console that it is up, has a shell there,
and switches itself off when its power button is pressed. It reads a seed as cloud-init does. Where
its disk asks for that, it writes numbered blocks, and says which its disk has.

Debian's cloud kernel and guest agent (downloaded and unpacked, not installed), busybox with a
script as its first process, and syslinux to boot them, in a raw image of 32 MiB, made once for a
lab.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from tests.lab.host import LabError, run, say

SIZE = 32 << 20
PACKAGE = "linux-image-cloud-amd64"
AGENT = "qemu-guest-agent"  # its libraries are the host's, which QEMU needs too
BUSYBOX = Path("/bin/busybox")

# What it says when it is up, on a line of its own.
UP = "The guest is up."
GOODBYE = "The guest was asked to shut down."
CALLED = "The guest is called"
LETS_IN = "The guest lets in"
TOLD = "The guest is told:"

# Of the kernel's modules: the power button, what reads it, the virtio devices of mcv's VMs, and
# the file system of seeds.
MODULES = ("button", "evdev", "virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "isofs")

# What stands behind the image on a disk on which it is to write numbered blocks (numberer.c), and
# where those are.
NUMBERED = "NUMBERS"
BLOCK = 4096
FIRST_BLOCK = SIZE + BLOCK
BLOCKS = 1024
NUMBERER = Path(__file__).with_name("numberer.c")

BOOT = "SERIAL 0 115200\nDEFAULT linux\nLABEL linux\n"
BOOT += (
    " KERNEL vmlinuz\n INITRD initrd\n APPEND console=ttyS0 quiet no_timer_check mitigations=off\n"
)

INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='guest# '
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
button=$(cd /sys/class/input && grep -l "Power Button" event*/device/name)
exec 3< /dev/input/${{button%%/*}}
(
    head -c 24 <&3 > /dev/null
    echo
    echo "{GOODBYE}"
    poweroff -f
) &
echo
for disk in /dev/vd?; do
    [ "$(dd if=$disk bs=1 skip=32808 count=6 2> /dev/null)" = CIDATA ] || continue
    mount -t iso9660 -o ro $disk /seed
    hostname "$(sed -n 's/^local-hostname: "\\(.*\\)"$/\\1/p' /seed/meta-data)"
    echo "{CALLED} $(hostname)."
    sed -n 's/^  - "\\(.*\\)"$/{LETS_IN} \\1/p' /seed/meta-data
    sed 's/^/{TOLD} /' /seed/user-data
    [ ! -e /sys/class/net/eth0 ] || ifconfig eth0 up
    [ ! -e /sys/class/net/eth0 ] || udhcpc -n -q -i eth0 -t 5 -T 2 -s /bin/true
done
for disk in /dev/vd?; do
    [ "$(dd if=$disk bs=1M skip={SIZE >> 20} count=1 2> /dev/null | head -c 7)" = {NUMBERED} ] &&
    numberer $disk {FIRST_BLOCK} {BLOCKS} &
done
for port in /dev/vport*p1; do
    [ ! -e $port ] || LD_LIBRARY_PATH=/lib setsid qemu-ga -m virtio-serial -p $port -t /dev \
        < /dev/null > /dev/null 2>&1 &
done
echo "{UP}"
while true; do setsid -c sh; done
"""


class LinuxGuest:
    """The image in a directory, made when it is missing or this file has changed."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "guest.img"
        self._made = directory / "guest.made"

    def prepare(self) -> Path:
        """Make the image unless it is there, and return where it is."""
        key = hashlib.sha256(Path(__file__).read_bytes() + NUMBERER.read_bytes()).hexdigest()
        if self.file.exists() and self._made.exists() and self._made.read_text() == key:
            return self.file
        say(f"making a guest of Debian's {PACKAGE} (27 MB), this once")
        self._made.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="mcv-guest-") as work:
            _make(Path(work), self.file)
        self._made.write_text(key)
        return self.file


def _make(work: Path, image: Path) -> None:
    kernel, modules = _unpack_kernel(work)
    root = work / "root"
    _fill(root, modules)
    _add_agent(work, root)
    initrd = work / "initrd"
    # newc is the archive that a kernel unpacks; busybox has a cpio, so the host needs none.
    run("sh", "-c", f"cd {root} && find . | {BUSYBOX} cpio -o -H newc > {initrd}")
    config = work / "syslinux.cfg"
    config.write_text(BOOT)
    with image.open("wb") as disk:
        disk.truncate(SIZE)
    run("mkfs.fat", "-n", "GUEST", image)
    for source, name in ((kernel, "vmlinuz"), (initrd, "initrd"), (config, "syslinux.cfg")):
        run("mcopy", "-i", image, source, f"::{name}")
    run("syslinux", "--install", image)


def _unpack_kernel(work: Path) -> tuple[Path, Path]:
    """The kernel's file and its directory of modules, from Debian's newest cloud kernel."""
    work.chmod(0o755)  # apt downloads as a user of its own, where it can
    name = _kernel_package()
    run("sh", "-c", f"cd {work} && apt-get --quiet download {name}", timeout=600)
    package = next(work.glob("*.deb"))
    run("dpkg-deb", "--extract", package, work / "package")
    return next((work / "package/boot").glob("vmlinuz-*")), work / "package/lib/modules"


def _kernel_package() -> str:
    """The package that the newest kernel is in; the one without a version only depends on it."""
    for try_again in (True, False):
        told = run("apt-cache", "depends", "--important", PACKAGE) if _is_known() else ""
        names = [line.split()[-1] for line in told.splitlines() if "Depends:" in line]
        if names:
            return names[0]
        if try_again:
            run("apt-get", "--quiet", "update", timeout=600)
    raise LabError(f"apt knows no {PACKAGE}; are Debian's packages in /etc/apt/sources.list*?")


def _is_known() -> bool:
    return bool(run("apt-cache", "search", "--names-only", f"^{PACKAGE}$").strip())


def _add_agent(work: Path, root: Path) -> None:
    """Put the agent and the libraries that it needs where the guest's first script starts it."""
    run("sh", "-c", f"cd {work} && apt-get --quiet download {AGENT}", timeout=600)
    run("dpkg-deb", "--extract", next(work.glob(f"{AGENT}_*.deb")), work / "agent")
    agent = work / "agent/usr/sbin/qemu-ga"
    shutil.copy2(agent, root / "bin/qemu-ga")
    for words in map(str.split, run("ldd", agent).splitlines()):
        library = next((Path(word) for word in words if word.startswith("/")), None)
        if library is None:
            continue
        # The loader's own place is in the program; the others are found by LD_LIBRARY_PATH.
        place = root / "lib64" if library.name.startswith("ld-linux") else root / "lib"
        place.mkdir(exist_ok=True)
        shutil.copy2(library.resolve(), place / library.name)


def _fill(root: Path, modules: Path) -> None:
    """Write the guest's root: busybox, modules in the order of their needs, the first script."""
    for name in ("bin", "dev", "proc", "seed", "sys", "modules"):
        (root / name).mkdir(parents=True)
    shutil.copy2(BUSYBOX, root / "bin/busybox")
    order: list[Path] = []
    for name in MODULES:
        _add_module(modules, name, order)
    for module in order:
        shutil.copy2(module, root / "modules")
    # Static: the guest has no loader but the agent's.
    run("gcc", "-O2", "-Wall", "-static", "-s", "-o", root / "bin/numberer", NUMBERER)
    (root / "modules/order").write_text(" ".join(module.name for module in order))
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)


def _add_module(modules: Path, name: str, order: list[Path]) -> None:
    """Add a module after all that it needs."""
    found = [path for path in modules.rglob("*.ko") if path.stem.replace("-", "_") == name]
    if not found:
        raise LabError(f"Debian's cloud kernel has no module {name}.")
    for needed in run("modinfo", "--field", "depends", found[0]).strip().split(","):
        if needed:
            _add_module(modules, needed.replace("-", "_"), order)
    if found[0] not in order:
        order.append(found[0])
