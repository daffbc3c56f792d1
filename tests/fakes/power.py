"""Fence agents that are real programs, and machines that they switch."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from mcv.drivers.fence_agents import Instance
from tests.lab.power import AGENT, PASSWORD, Power


@dataclass
class Switch:
    """A machine that is on or off, and nothing else; how often it was switched."""

    on: bool = True
    switched: list[str] = field(default_factory=list)

    def is_on(self) -> bool:
        return self.on

    def switch_off(self) -> None:
        self.on = False
        self.switched.append("off")

    def switch_on(self) -> None:
        self.on = True
        self.switched.append("on")


def installed(directory: Path, name: str = "fence_lab") -> Path:
    """Put the tests' agent where a host has its agents."""
    directory.mkdir(mode=0o755, exist_ok=True)
    path = directory / name
    shutil.copyfile(AGENT, path)
    path.chmod(0o755)
    return path


def script(directory: Path, name: str, text: str) -> Path:
    """Install an agent of a few lines of shell."""
    directory.mkdir(mode=0o755, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def plug(power: Power, port: str, password: str = PASSWORD) -> Instance:
    """A plug of the power service, as an agent is told of it."""
    return Instance(
        agent="fence_lab",
        parameters={"ip": power.address, "ipport": str(power.port), "username": "root"},
        secrets={"password": password},
        port=port,
    )
