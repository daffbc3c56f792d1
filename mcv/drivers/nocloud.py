"""The seed of a guest that cloud-init sets up: a CD of the NoCloud data source, as bytes."""

import io
import json
from collections.abc import Mapping, Sequence

VOLUME = "CIDATA"
BLOCK = 4096  # what a disk's size is a multiple of, so that it can be read past every cache
EMPTY = b"#cloud-config\n{}\n"


def seed(
    instance: str,
    hostname: str,
    keys: Sequence[str] = (),
    user_data: bytes = b"",
    macs: Sequence[str] = (),
) -> bytes:
    """The CD: who the guest is, who may log in, what its user wants, and its network cards.

    `instance` differs for each VM: a guest that has seen it sets nothing up again.
    """
    files = {
        "meta-data": _meta_data(instance, hostname, keys),
        "user-data": user_data or EMPTY,
    }
    if macs:
        files["network-config"] = _network(macs)
    return _cd(files)


def _meta_data(instance: str, hostname: str, keys: Sequence[str]) -> bytes:
    lines = [f"instance-id: {_quoted(instance)}", f"local-hostname: {_quoted(hostname)}"]
    if keys:
        lines += ["public-keys:", *(f"  - {_quoted(key)}" for key in keys)]
    return _text(lines)


def _network(macs: Sequence[str]) -> bytes:
    """Every card by DHCP; the guest's boot waits for the first one alone."""
    lines = ["version: 2", "ethernets:"]
    for number, mac in enumerate(macs):
        lines += [
            f"  card{number}:",
            "    match:",
            f"      macaddress: {_quoted(mac)}",
            "    dhcp4: true",
        ]
        lines += ["    optional: true"] * (number > 0)
    return _text(lines)


def _quoted(text: str) -> str:
    """A text in YAML: a JSON string is one of its strings."""
    return json.dumps(text)


def _text(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _cd(files: Mapping[str, bytes]) -> bytes:
    """An ISO 9660 image with these files, under their names in Joliet and in Rock Ridge."""
    import pycdlib

    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=VOLUME)
    for name, content in sorted(files.items()):
        image.add_fp(
            io.BytesIO(content),
            len(content),
            f"/{name.replace('-', '_').upper()}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    written = io.BytesIO()
    image.write_fp(written)
    image.close()
    data = written.getvalue()
    return data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
