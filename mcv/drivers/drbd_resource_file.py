"""The text of a DRBD resource file: one generator for 8.4 and 9."""

import re
from dataclasses import dataclass

from mcv.document.disks import SECTOR
from mcv.document.drbd_settings import DrbdSettings
from mcv.system.addresses import with_port

# The peers prove to each other that they know the secret. Every DRBD that speaks to a
# kernel of this decade has sha256, built in more often than sha1 by now.
PEER_AUTH = "sha256"

# A verification compares digests; crc32c is the fastest that every kernel with DRBD has
# (libcrc32c is what the module itself depends on), with help from the CPU on most.
VERIFY_DIGEST = "crc32c"

# How fast resyncs and verifications go. Measured in the lab over 256 MiB, with other work on
# the machine: DRBD's dynamic controller (c-plan-ahead 20) begins at 250 KiB/s and took 34 to
# 41 s for a resync and 45 s for a verification; the fixed rate, which the link or the disks
# bound, 3 to 7 s for either. 100, 200, 400 and 1000 MiB/s made no difference there, nor did
# the dynamic controller that begins at 200 MiB/s. With the default of 2048 buffers a
# verification took 11 s, with 8000 of them 3 s; a resync took the same. c-min-rate is what a
# resync keeps while the guest writes: the default of 250 KiB/s would all but stop it.

# How many seconds an idle connection is silent before the peer is looked for, in an armed
# cluster. With the ping-timeout a lost peer is noticed after 6 s at the latest, before its node
# counts as suspect (8 s); with DRBD's default of 10 it were after 13.
PING = 3

# The first line of a file that mcv wrote.
MARK = "# Written by mcv; what is changed here is lost.\n"


# drbdadm takes this section for its own host's, whatever the host is called. With the host's
# name in its place, a host that is renamed has no resource any more: the kernel's question
# whether to go on without the peer never reaches the handler, and the guest's I/O stands still.
THIS_HOST = "_this_host"


@dataclass(frozen=True)
class Side:
    """One node's half of a resource; `hostname` is what `uname -n` says there, or THIS_HOST."""

    hostname: str
    node: str
    address: str
    disk: str


def resource_text(
    settings: DrbdSettings,
    resource: str,
    *,
    minor: int,
    port: int,
    sides: list[Side],
    generation: int,
    secret: str,
    handler: str,
    state: str,
    size: int | None = None,
    armed: bool = False,
) -> str:
    """The whole resource file; the handler is handed the state directory of its node.

    With a size, in bytes, the device is as large as that; else as the smaller volume allows.
    In an armed cluster the peer is looked for more often: see PING.

    The order of the sides is the order of the node ids that DRBD 9 writes into the
    metadata, so it must be the same in every file of the resource for its whole life.
    The secret has at most 63 characters: drbdadm takes no more.
    """
    nine = generation >= 9
    blocks = [
        *(["options {", "    auto-promote no;", "}"] if nine else []),
        *_net(secret, fencing=nine, armed=armed),
        *_disk(settings, size, fencing=not nine),
        *_handlers(handler, state),
        f"device /dev/drbd{minor} minor {minor};",
        "meta-disk internal;",
    ]
    for number, side in enumerate(sides):
        blocks += _on(side, port, node_id=number if nine else None)
    body = "".join(f"    {line}\n" for line in blocks)
    return f"{MARK}resource {resource} {{\n{body}}}\n"


FENCING = "    fencing resource-and-stonith;"


def _net(secret: str, fencing: bool, armed: bool) -> list[str]:
    return [
        "net {",
        "    protocol C;",
        f"    cram-hmac-alg {PEER_AUTH};",
        f'    shared-secret "{secret}";',
        f"    verify-alg {VERIFY_DIGEST};",
        # What is lost in a split brain is for the operator to say, never for a policy.
        "    after-sb-0pri disconnect;",
        "    after-sb-1pri disconnect;",
        "    after-sb-2pri disconnect;",
        "    rr-conflict disconnect;",
        "    allow-two-primaries no;",
        "    max-buffers 8000;",
        "    max-epoch-size 8000;",
        # Tenths of a second: the default half second cuts a busy but living peer off.
        "    ping-timeout 30;",
        *([f"    ping-int {PING};"] if armed else []),
        # Both sides look for so long whether a new connection lasts; else for ping-timeout.
        "    socket-check-timeout 5;",
        *([FENCING] if fencing else []),
        "}",
    ]


def _disk(settings: DrbdSettings, size: int | None, fencing: bool) -> list[str]:
    kib = max(1, settings.resync_rate // 1024)
    return [
        "disk {",
        "    on-io-error detach;",
        "    c-plan-ahead 0;",
        f"    resync-rate {kib}K;",
        f"    c-min-rate {max(1, kib // 4)}K;",
        # drbdadm and drbdsetup have differed in the unit of a number without one.
        *([f"    size {size // SECTOR}s;"] if size is not None else []),
        *([FENCING] if fencing else []),
        "}",
    ]


def size_in(text: str) -> int | None:
    """The size, in bytes, that a resource file gives its device; None where it gives none."""
    found = re.search(r"^ *size (\d+)s;$", text, re.MULTILINE)
    return int(found[1]) * SECTOR if found else None


def _handlers(handler: str, state: str) -> list[str]:
    return [
        "handlers {",
        f'    fence-peer "{handler} fence-peer {state}";',
        f'    unfence-peer "{handler} unfence-peer {state}";',
        f'    out-of-sync "{handler} out-of-sync {state}";',
        "}",
    ]


def _address(address: str, port: int) -> str:
    """As drbd.conf(5) has it: the family is named, and the address in brackets, for IPv6."""
    return f"{'ipv6 ' if ':' in address else ''}{with_port(address, port)}"


def _on(side: Side, port: int, node_id: int | None) -> list[str]:
    return [
        f"{'' if side.hostname == THIS_HOST else 'on '}{side.hostname} {{  # {side.node}",
        *([f"    node-id {node_id};"] if node_id is not None else []),
        f"    address {_address(side.address, port)};",
        f"    disk {side.disk};",
        "}",
    ]
