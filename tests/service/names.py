"""What the tests of services call things by."""

from typing import Any

A, B = "/usr/local/sbin/a", "/usr/local/sbin/b"
ADDRESS = "192.0.2.80/24"
IP = "192.0.2.80"
ON: dict[str, Any] = {"address": ADDRESS, "bridge": "br0"}

STARTED = [
    f"n1: +{ADDRESS}",
    f"n1: announce {ADDRESS}",
    "n1: start nginx.service",
    f"n1: start {A}",
    f"n1: start {B}",
]
STOPPED = [f"n1: stop {B}", f"n1: stop {A}", "n1: stop nginx.service", f"n1: -{ADDRESS}"]
