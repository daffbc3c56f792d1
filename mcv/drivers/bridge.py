"""The bridges of this host: the host's own, and those that mcvd makes for VLANs."""

from pathlib import Path

from mcv.document.networks import TAGGED, tagged_port
from mcv.errors import CommandFailed, Refused
from mcv.system.process import Run, run

Names = list[str]
IS_UP = 1  # IFF_UP


class Bridges:
    """Reads the kernel's own files of network devices; makes bridges for VLANs alone."""

    def __init__(self, root: Path = Path("/"), run: Run = run) -> None:
        self._root = root
        self._devices = root / "sys/class/net"
        self._run = run

    def exists(self, name: str) -> bool:
        """Whether there is a bridge of this name on this host."""
        return name in self.list()

    def list(self) -> Names:
        """The names of this host's bridges."""
        return sorted(path.parent.name for path in self._devices.glob("*/bridge"))

    def mtu(self, name: str) -> int:
        """The MTU of a device in bytes; 0 where there is none of that name."""
        return int(self._read(name, "mtu") or 0)

    def why_not_tag(self, bridge: str, vlan: int, name: str) -> Refused | None:
        """Why this host cannot have a bridge for a VLAN of one of its bridges."""
        configuration = self._root / "proc/net/vlan/config"
        if not configuration.exists():
            try:
                self._run("modprobe", "8021q")
            except CommandFailed as error:
                return Refused(
                    f"This host's kernel knows no VLANs: {error.message}",
                    error.hint or "It needs the kernel's module 8021q.",
                )
        for device, id_, lower in _vlans(_text(configuration)):
            if (lower, id_) == (bridge, vlan) and device != tagged_port(name):
                return Refused(
                    f"VLAN {vlan} of {bridge} is {device} on this host already.",
                    f"Put {device} into a bridge, and name that bridge with --bridge.",
                )
        return None

    def bring_up_tagged(self, bridge: str, vlan: int, name: str) -> None:
        """Make a bridge for the frames that bear a tag on another bridge; harmless where it is.

        Guests on it send and get plain frames. The host itself has no address there. On a bridge
        that filters VLANs its host's side joins the VLAN; its other ports are the host's matter.
        """
        port = tagged_port(name)
        if self.is_whole(name):
            self._widen(port, bridge)
            return
        if not self._has(port):
            link = ("link", "add", "link", bridge, "name", port)
            self._run("ip", *link, "type", "vlan", "id", str(vlan))
        if not self.exists(name):
            self._run("ip", "link", "add", "name", name, "type", "bridge")
        for device in (port, name):
            self._switch_ipv6_off(device)
        if self._read(bridge, "bridge/vlan_filtering") == "1":
            self._run("bridge", "vlan", "add", "dev", bridge, "vid", str(vlan), "self")
        self._run("ip", "link", "set", "dev", port, "master", name)
        self._widen(port, bridge)
        for device in (port, name):
            self._run("ip", "link", "set", "dev", device, "up")

    def is_whole(self, name: str) -> bool:
        """Whether a bridge for a VLAN, and its port, are there and up."""
        port = tagged_port(name)
        is_port = (self._devices / name / "brif" / port).exists()
        return is_port and all(
            int(self._read(device, "flags") or "0", 16) & IS_UP for device in (name, port)
        )

    def _widen(self, port: str, bridge: str) -> None:
        """Let a port take what the bridge below takes, also where that was raised since."""
        if 0 < self.mtu(port) < (wide := self.mtu(bridge)):
            self._run("ip", "link", "set", "dev", port, "mtu", str(wide))

    def _switch_ipv6_off(self, device: str) -> None:
        """Have the host make itself no address on a device."""
        switch = self._root / f"proc/sys/net/ipv6/conf/{device}/disable_ipv6"
        if not switch.exists():
            return
        try:
            switch.write_text("1")
        except OSError as error:
            raise CommandFailed(
                f"IPv6 of {device} cannot be switched off: {error.strerror or error}.",
                "The unit mcvd.service allows it. Put this mcv's in place: make install",
            ) from error

    def tagged(self) -> Names:
        """The bridges for VLANs that mcvd has made here, whole or not."""
        names = {path.name for path in self._devices.glob("mcv*")}
        names = {f"mcv-{name[4:]}" if name.startswith("mcvt") else name for name in names}
        return sorted(name for name in names if TAGGED.fullmatch(name))

    def take_away_tagged(self, name: str) -> bool:
        """Take a bridge for a VLAN away unless a guest is on it; whether it is gone."""
        port = tagged_port(name)
        if any(path.name != port for path in (self._devices / name / "brif").glob("*")):
            return False
        for device in (name, port):
            if self._has(device):
                self._run("ip", "link", "delete", "dev", device)
        return True

    def _has(self, device: str) -> bool:
        return (self._devices / device).exists()

    def _read(self, device: str, attribute: str) -> str:
        return _text(self._devices / device / attribute).strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def _vlans(text: str) -> list[tuple[str, int, str]]:
    """The VLAN devices of a host: name, tag, and the device below, as the kernel lists them."""
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    return [(row[0], int(row[1]), row[2]) for row in rows if len(row) == 3 and row[1].isdigit()]
