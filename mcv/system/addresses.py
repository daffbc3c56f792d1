"""IP addresses of either family: their one way of writing, and with a port."""

import ipaddress
import socket


def family(address: str) -> int:
    """4 or 6; raise ValueError for a text that is no IP address."""
    return ipaddress.ip_address(address).version


def canonical(address: str) -> str:
    """The address in the one way that it is compared in; ValueError where it is none."""
    return str(ipaddress.ip_address(address))


def with_port(address: str, port: int) -> str:
    """Address and port as a URL has them: an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def without_port(text: str) -> tuple[str, int]:
    """Address and port of such a text; ValueError where it has no port."""
    address, _, port = text.rpartition(":")
    return address.removeprefix("[").removesuffix("]"), int(port)


def network(address: str) -> str:
    """What one host may choose addresses from: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def source_to(address: str) -> str:
    """This host's address for what it sends to another address; "" where there is no way.

    Nothing is sent. Raises ValueError for a text that is no IP address.
    """
    kind = socket.AF_INET6 if family(address) == 6 else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError:
            return ""
        return canonical(str(probe.getsockname()[0]).partition("%")[0])
