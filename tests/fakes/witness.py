"""The machine of a witness that is only noted: what it was given, and what it tells of itself."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from mcv.drivers.etcd_witness import WitnessFacts
from mcv.errors import CommandFailed, NeedsPassword, Refused
from mcv.etcd.config import Configuration

ADDRESS = "10.0.0.9"


class FakeWitness:
    """`password` is what SSH asks for, `silent` that nothing answers; `breaks` fails its start."""

    def __init__(self) -> None:
        self.facts = WitnessFacts(
            systemd=True, version="3.4.23", mcvd="inactive", debians="active", addresses=(ADDRESS,)
        )
        self.password: str | None = None
        self.silent = False
        self.breaks = False
        self.directory = Path("/var/lib/mcv/etcd")
        self.key = self.directory / "key.pem"
        self.configuration: Configuration | None = None
        self.files: dict[str, str] = {}
        self.restarts = 0
        self.pace = 1

    @contextlib.contextmanager
    def reached(
        self, ip_address: str, password: str | None, host_key: str | None
    ) -> Iterator["FakeWitness"]:
        """In the place of mcv.cluster.witness.machine_at."""
        assert ip_address == ADDRESS
        if self.silent:
            raise Refused(f"{ip_address} does not answer to SSH: timed out.")
        if self.password != password:
            raise NeedsPassword("root's own SSH key does not open 10.0.0.9.", "Give the password.")
        yield self

    def look(self) -> WitnessFacts:
        return self.facts

    def set_up(
        self, configuration: Configuration, files: Mapping[str, str], unit: str, of: str
    ) -> None:
        self.configuration, self.files = configuration, dict(files)
        self.facts = replace(self.facts, of=of, is_set_up=True)
        if self.breaks:
            raise CommandFailed("`start mcv-etcd.service` on 10.0.0.9 exited with 1: no luck")

    def bundle(self) -> str:
        return self.files["bundle.pem"].strip()

    def follow(self, bundle: str, pace: int) -> None:
        self.files["bundle.pem"] = bundle
        self.pace = pace
        self.restarts += 1

    def discard(self) -> None:
        self.configuration, self.files = None, {}
        self.facts = replace(self.facts, of="", is_set_up=False)
