"""Every path, port and default of this host, and what /etc/mcv/mcv.conf overrides."""

import configparser
import contextlib
import ipaddress
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcv.errors import Refused

CONF = Path("/etc/mcv/mcv.conf")
SOCKET = Path("/run/mcv/mcvd.sock")
PEER_PORT = 8420
ETCD_PORT = 8421  # where etcd's clients are served: beside the administrator's own, if any
ETCD_PEER_PORT = 8422
DRBD_HANDLER = Path("/opt/mcv/bin/mcv-drbd-handler")  # where `make install` puts it
FIRST_DRBD_PORT = 7900
FIRST_DRBD_MINOR = 100
HISTORY = 1000
SHUTDOWN_TIMEOUT = 180
VERIFY_PERIOD = 7
RESOLVE = 5.0  # seconds that the resolver has

KEYS = {
    "node",
    "address",
    "drbd_address",
    "drbd_handler",
    "volume_group",
    "emulator",
    "domain_type",
    "history",
    "verify_at_once",
    "shutdown_timeout",
    "verify_period",
    "watchdog",
}

NUMBERS = {
    "history": HISTORY,
    "verify_at_once": 2,
    "shutdown_timeout": SHUTDOWN_TIMEOUT,
    "verify_period": VERIFY_PERIOD,
}

# drbdadm reads it between quotes, and the kernel's module cuts it at blanks.
PROGRAM = re.compile(r"/[A-Za-z0-9._/+-]+")


@dataclass(frozen=True)
class Settings:
    """This host's settings; what is empty is found out when it is needed."""

    hostname: str
    node: str
    address: str
    drbd_address: str
    volume_group: str = ""
    emulator: str = ""
    domain_type: str = ""
    history: int = HISTORY
    verify_at_once: int = 2
    shutdown_timeout: int = SHUTDOWN_TIMEOUT  # s that guests have when the host shuts down
    watchdog: str = ""  # a device, a driver's identity, or softdog
    verify_period: int = VERIFY_PERIOD  # days between two verifications of a VM
    var: Path = Path("/var/lib/mcv")
    run: Path = Path("/run/mcv")
    images: Path = Path("/var/lib/mcv/images")  # the same on every node: domains name it
    drbd_directory: Path = Path("/etc/drbd.d")
    drbd_handler: Path = DRBD_HANDLER
    port: int = PEER_PORT
    etcd_port: int = ETCD_PORT
    etcd_peer_port: int = ETCD_PEER_PORT
    conf: Path = CONF
    directory: str = ""  # name of the state directory; "" is the host's name

    @property
    def state(self) -> Path:
        """Where this host keeps what must survive it: /var/lib/mcv/<hostname at first start>."""
        return self.var / (self.directory or self.hostname)

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def etcd(self) -> Path:
        """Where mcv's etcd lies: mcv-etcd.service names it, so it is the same on every host."""
        return self.var / "etcd"

    @property
    def notes(self) -> Path:
        return self.state / "notes"

    @property
    def locks(self) -> Path:
        return self.run / "locks"

    @property
    def handlers(self) -> Path:
        """What DRBD's handlers and the daemon tell each other about resources; a reboot ends it."""
        return self.run / "drbd"


def resolved_address(hostname: str) -> str:
    """The address that another host can reach this name at, IPv4 before IPv6; "" without one.

    A resolver that does not answer within RESOLVE seconds resolves to none: it may be asked
    for a minute otherwise.
    """
    found: list[str] = []

    def resolve() -> None:
        with contextlib.suppress(OSError):
            entries = socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM)
            found.extend(str(entry[4][0]) for entry in entries)

    asking = threading.Thread(target=resolve, daemon=True)
    asking.start()
    asking.join(RESOLVE)
    reachable = [text for text in list(found) if is_reachable(text)]
    return next((text for text in sorted(reachable, key=lambda text: ":" in text)), "")


def is_reachable(address: str) -> bool:
    """Whether a text is an IP address at which another host may reach this host."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    is_of_this_link = parsed.is_loopback or parsed.is_link_local or parsed.is_multicast
    return not (is_of_this_link or parsed.is_unspecified)


def _canonical(path: Path, values: dict[str, str], key: str) -> str:
    """An address in mcv.conf, in the one way of writing that addresses are compared in."""
    if not (text := values.get(key, "")):
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise Refused(f"{path}: {key} = {text} is no IP address.") from error


def load(path: Path = CONF, resolve: Callable[[str], str] | None = None) -> Settings:
    """Read mcv.conf; raise Refused, naming the line or the key, where it makes no sense.

    `resolve` is asked for the host's address where mcv.conf does not tell it.
    """
    values = _read(path)
    unknown = sorted(set(values) - KEYS)
    if unknown:
        raise Refused(
            f"{path} has a key that mcv does not know: {', '.join(unknown)}.",
            f"It knows: {', '.join(sorted(KEYS))}.",
        )
    hostname = socket.gethostname()
    address = _canonical(path, values, "address") or (resolve or resolved_address)(hostname)
    numbers = {}
    for key, default in NUMBERS.items():
        text = values.get(key) or str(default)
        if not text.isdecimal() or int(text) < 1:
            raise Refused(f"{path}: {key} = {text} is not a number of 1 or more.")
        numbers[key] = int(text)
    handler = values.get("drbd_handler") or str(DRBD_HANDLER)
    if not PROGRAM.fullmatch(handler):
        raise Refused(
            f"{path}: drbd_handler = {handler} is not the path of a program.",
            "It begins with / and has neither blanks nor quotes.",
        )
    return Settings(
        hostname=hostname,
        node=values.get("node") or hostname.partition(".")[0].lower(),
        address=address,
        drbd_address=_canonical(path, values, "drbd_address") or address,
        volume_group=values.get("volume_group", ""),
        emulator=values.get("emulator", ""),
        domain_type=values.get("domain_type", ""),
        history=numbers["history"],
        verify_at_once=numbers["verify_at_once"],
        shutdown_timeout=numbers["shutdown_timeout"],
        verify_period=numbers["verify_period"],
        watchdog=values.get("watchdog", ""),
        drbd_handler=Path(handler),
        conf=path,
    )


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, UnicodeError) as error:
        raise Refused(f"{path} cannot be read: {error}.") from error
    if text is None and not path.exists():
        return {}
    if text is None:
        raise Refused(f"{path} cannot be read: it is no file.")
    if not any(line.lstrip().startswith("[") for line in text.splitlines()):
        text = "[mcv]\n" + text
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",))
    try:
        parser.read_string(text, source=str(path))
    except configparser.Error as error:
        raise Refused(f"{path} cannot be read: {error.message}") from error
    return {key: value.strip() for part in parser.sections() for key, value in parser[part].items()}
