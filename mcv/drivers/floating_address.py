"""The address of a service: asked about before it is taken, announced after, looked at when gone.

arping is that of iputils; Debian's package `arping` is another program.
"""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from mcv.errors import CommandFailed
from mcv.ha.gate import OPEN, Passage
from mcv.system.process import Run, run

log = logging.getLogger(__name__)

PROBES = 3  # of which none is answered where nobody has the address
PROBING = 3.0  # s
IS_UP = 1  # IFF_UP

_REPLY = re.compile(r"reply from (\S+) \[([0-9A-Fa-f:]+)\]")


class FloatingAddress:
    """Addresses of services on this host's bridges."""

    def __init__(
        self, run: Run = run, gate: Passage = OPEN, devices: Path = Path("/sys/class/net")
    ) -> None:
        self._run = run
        self._gate = gate
        self._devices = devices

    def where(self, address: str) -> str:
        """The device of this host that has the address IP/LEN, whatever its length; "": none."""
        ip = address.partition("/")[0]
        return next((device for device, own in self._own() if own == ip), "")

    def _own(self) -> Iterator[tuple[str, str]]:
        text = self._run("ip", "-json", "-4", "address", "show", timeout=5)
        try:
            for link in json.loads(text or "[]"):
                for entry in link.get("addr_info", []):
                    yield str(link["ifname"]), str(entry["local"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CommandFailed("`ip address` printed no addresses.") from error

    def holder(self, address: str, bridge: str) -> str:
        """The MAC of another host that has the address; "" where nobody answers for it.

        Takes some seconds. Raises CommandFailed where it cannot be asked.
        """
        ip = address.partition("/")[0]
        asked = ("-D", "-c", str(PROBES), "-w", str(round(PROBING)), "-I", bridge, ip)
        try:
            self._run("arping", *asked, timeout=PROBING + 10)
        except CommandFailed as error:
            reply = _REPLY.search(error.message)
            if reply is None:
                raise
            return reply[2].lower()
        return ""

    def add(self, address: str, bridge: str) -> None:
        """Put the address on the bridge; harmless where it is. Raises Refused without a lease."""

        def add() -> None:
            if self.where(address) != bridge:
                self._run("ip", "address", "add", address, "dev", bridge, timeout=10)

        self._gate.begin(f"take {address}", add)

    def announce(self, address: str, bridge: str) -> None:
        """Tell the segment that the address is here: neighbours keep another host's MAC else."""
        ip = address.partition("/")[0]
        for how in ("-U", "-A"):
            try:
                self._run("arping", how, "-c", "2", "-w", "3", "-I", bridge, ip, timeout=13)
            except CommandFailed as error:
                log.warning("%s is not announced: %s", address, error)

    def remove(self, address: str) -> None:
        """Take the address away; harmless where it is not. Raises CommandFailed if it stays."""
        if device := self.where(address):
            self._run("ip", "address", "del", address, "dev", device, timeout=10)
        if left := self.where(address):
            raise CommandFailed(f"{address} is still on {left}.")

    def is_up(self, bridge: str) -> bool:
        """Whether the bridge is switched on."""
        return bool(int(self._read(bridge, "flags") or "0", 16) & IS_UP)

    def has_link(self, bridge: str) -> bool:
        """Whether a frame can leave this host by the bridge.

        One of its ports that lead out has a link; where none leads out, any port of it.
        """
        if not self.is_up(bridge):
            return False
        out = [port for port in self._ports(bridge) if self._leads_out(port)]
        return any(self._read(port, "carrier") == "1" for port in out or [bridge])

    def _ports(self, bridge: str) -> list[str]:
        return sorted(path.name for path in (self._devices / bridge / "brif").glob("*"))

    def _leads_out(self, port: str) -> bool:
        """A card, a bond, or a device upon another one; ends of guests and namespaces do not."""
        place = self._devices / port
        return (place / "device").exists() or (place / "bonding").exists() or _is_upper(place)

    def _read(self, device: str, attribute: str) -> str:
        try:
            return (self._devices / device / attribute).read_text(encoding="ascii").strip()
        except OSError:
            return ""


def _is_upper(place: Path) -> bool:
    """Whether a device lies on another one, as a VLAN does."""
    return any(place.glob("lower_*"))
