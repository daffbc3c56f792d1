"""What every node does about fence devices: fetch their secrets, and look whether they answer."""

import time
from typing import Any

import msgspec
from msgspec import Struct

from mcv.document.fence_changes import nodes_on
from mcv.document.fencing import FenceDevice
from mcv.drivers import fence_metadata
from mcv.drivers.fence_doors import Monitored
from mcv.errors import McvError, NotPermitted, Refused
from mcv.host import Host
from mcv.system.answers import decoded

MONITOR = 600.0  # s between two looks at a device
ASK = 5.0  # s

Problem = tuple[str, str]


class FenceLook(Struct, frozen=True, kw_only=True):
    """What a node says of a device that may be: what is wrong with it, and why it is silent."""

    problems: list[Problem] = []
    failure: str = ""


class SecretSet(Struct, frozen=True, kw_only=True):
    """A set of secrets for another member."""

    secrets: dict[str, str]


def look(
    host: Host, name: str, device: dict[str, Any], secrets: dict[str, str], keep: bool
) -> FenceLook:
    """Answer another node: judge a device by this host's agent, and ask it whether it is well.

    `keep`: the secrets are kept, before the document names them.
    """
    wanted = msgspec.convert(device, FenceDevice)
    try:
        metadata = host.fences.agents.metadata(wanted.agent)
    except McvError as error:
        return FenceLook(problems=[(error.message, error.hint)])
    found = fence_metadata.problems(wanted.agent, metadata, wanted.parameters, secrets)
    if found:
        return FenceLook(problems=[(each.message, each.hint) for each in found])
    if wanted.secrets:
        # A key is read from its file, so it is kept in a look too.
        host.fences.secrets.keep(name, wanted.secret_id, secrets)
    try:
        host.fences.agents.monitor(host.fences.secrets.given(name, wanted, secrets))
    except McvError as error:
        return FenceLook(failure=error.message)
    finally:
        if wanted.secrets and not keep:
            host.fences.secrets.drop(name, wanted.secret_id)
    return FenceLook()


def give(host: Host, name: str, id: str, sender: str) -> SecretSet:
    """Answer a member that was offline, or none, when the secrets were given.

    Errors: NotPermitted for a node that is no member, or is being added or removed; Refused
    where this node does not have them.
    """
    member = host.read().nodes.get(sender)
    if member is None or member.claim is not None:
        raise NotPermitted(f"{sender} is given no secrets: it is no settled member.")
    found = host.fences.secrets.read(name, id)
    if found is None:
        raise Refused(f"{host.name} does not have these secrets of {name}.")
    return SecretSet(secrets=found)


# What a daemon does again and again


def look_after(host: Host) -> None:
    """Fetch the secrets that the document names, remove others, and ask every device."""
    cluster = host.read()
    for name, device in cluster.fence_devices.items():
        if device.secrets and host.fences.secrets.read(name, device.secret_id) is None:
            _fetch(host, name, device)
    named = (each for document in host.both() for each in document.fence_devices.items())
    host.fences.secrets.tidy((name, device.secret_id) for name, device in named)
    for name in set(host.fences.monitored) - set(cluster.fence_devices):
        host.fences.monitored.pop(name, None)
    for name, device in cluster.fence_devices.items():
        known = host.fences.monitored.get(name)
        is_known = known is not None and known.device == device
        if not (is_known and known and time.monotonic() < known.at + MONITOR):
            _monitor(host, name, device)


def _fetch(host: Host, name: str, device: FenceDevice) -> None:
    """From any member that has them; the next round tries again."""
    for other in host.read().online:
        if other == host.name:
            continue
        try:
            params = {"name": name, "id": device.secret_id}
            answer = host.call(other, "fence.secrets", timeout=ASK, **params)
            found = decoded(other, "fence.secrets", answer, SecretSet)
        except McvError:
            continue
        if set(found.secrets) == set(device.secrets):
            host.fences.secrets.keep(name, device.secret_id, found.secrets)
            return


def _monitor(host: Host, name: str, device: FenceDevice) -> None:
    """A node never asks the device that only it hangs on: a BMC is often silent to its host."""
    if nodes_on(host.read(), name) == [host.name]:
        host.fences.monitored.pop(name, None)
        return
    failure = ""
    try:
        host.fences.agents.monitor(host.fences.secrets.instance(name, device))
    except McvError as error:
        failure = error.message
    before = host.fences.monitored.get(name)
    if failure and not (before and before.failure):
        host.tell("fence device does not answer", name, "failed")
    host.fences.monitored[name] = Monitored(time.monotonic(), device, failure)
