"""Resource files of both generations, judged by drbdadm itself."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mcv.document.drbd_settings import DrbdSettings
from mcv.drivers.drbd_resource_file import THIS_HOST, Side, resource_text, size_in

SIDES = [
    Side(hostname="n1", node="n1", address="10.0.0.1", disk="/dev/vg0/mcv-web1-1"),
    Side(hostname="n2.example.org", node="n2", address="10.0.0.2", disk="/dev/data/mcv-web1-1"),
]
GENERATIONS = {8: "8.4.11", 9: "9.2.0"}


def text(
    generation: int,
    settings: DrbdSettings | None = None,
    secret: str = "s" * 63,
    sides: list[Side] | None = None,
    size: int | None = None,
    armed: bool = False,
) -> str:
    return resource_text(
        settings or DrbdSettings(),
        "mcv-web1-1",
        minor=100,
        port=7900,
        sides=sides or SIDES,
        generation=generation,
        secret=secret,
        handler="/usr/local/sbin/handler",
        state="/var/lib/mcv/n1",
        size=size,
        armed=armed,
    )


def drbdadm(path: Path, content: str, generation: int, *command: str, node: str = "n1") -> str:
    """What drbdadm would do with a file, on a host of this name with this kernel module."""
    assert shutil.which("drbdadm", path="/usr/sbin:/sbin"), "drbdadm is missing: drbd-utils"
    file = path / "web1.res"
    file.write_text("global { usage-count no; }\n" + content)
    done = subprocess.run(
        ["drbdadm", "--config-file", str(file), "--dry-run", *command],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C",
            "DRBD_DRIVER_VERSION_OVERRIDE": GENERATIONS[generation],
            "__DRBD_NODE__": node,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("generation", GENERATIONS)
def test_drbdadm_takes_the_file_and_every_option_in_it(tmp_path: Path, generation: int) -> None:
    planned = drbdadm(tmp_path, text(generation), generation, "up", "all")

    options = {word for word in planned.split() if word.startswith("--")}
    assert {
        "--protocol=C",
        "--cram-hmac-alg=sha256",
        "--shared-secret=" + "s" * 63,
        "--verify-alg=crc32c",
        "--after-sb-0pri=disconnect",
        "--after-sb-1pri=disconnect",
        "--after-sb-2pri=disconnect",
        "--allow-two-primaries=no",
        "--fencing=resource-and-stonith",
        "--on-io-error=detach",
        "--c-plan-ahead=0",
        "--resync-rate=204800K",
    } <= options
    assert "ipv4:10.0.0.1:7900 ipv4:10.0.0.2:7900" in planned
    assert "attach 100 /dev/vg0/mcv-web1-1 /dev/vg0/mcv-web1-1 internal" in planned
    assert "new-minor mcv-web1-1 100 0" in planned


@pytest.mark.parametrize("generation", GENERATIONS)
def test_drbdadm_tells_the_kernel_the_size_that_is_in_the_file(
    tmp_path: Path, generation: int
) -> None:
    content = text(generation, size=64 * 1024**2)

    planned = drbdadm(tmp_path, content, generation, "up", "all")

    assert "--size=131072s" in planned.split() and size_in(content) == 64 * 1024**2
    assert size_in(text(generation)) is None and "--size" not in drbdadm(
        tmp_path, text(generation), generation, "up", "all"
    )


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_same_file_serves_the_other_node(tmp_path: Path, generation: int) -> None:
    planned = drbdadm(tmp_path, text(generation), generation, "up", "all", node="n2.example.org")

    assert "ipv4:10.0.0.2:7900 ipv4:10.0.0.1:7900" in planned
    assert "attach 100 /dev/data/mcv-web1-1" in planned


def test_on_nine_whoever_opens_the_device_does_not_promote_it(tmp_path: Path) -> None:
    planned = drbdadm(tmp_path, text(9), 9, "up", "all")

    assert "new-resource mcv-web1-1 0 --auto-promote=no" in planned
    assert "new-peer mcv-web1-1 1 --_name=n2.example.org" in planned


def test_the_generations_differ_in_fencing_auto_promotion_and_node_ids_alone() -> None:
    eight, nine = ([line.strip() for line in text(number).splitlines()] for number in (8, 9))

    more = [line for line in nine if line not in eight]

    assert more == ["options {", "auto-promote no;", "node-id 0;", "node-id 1;"]
    assert sorted(line for line in nine if line not in more and line != "}") == sorted(
        line for line in eight if line != "}"
    )


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_handlers_are_three_and_none_of_them_stops_the_host(
    tmp_path: Path, generation: int
) -> None:
    dumped = drbdadm(tmp_path, text(generation), generation, "dump", "mcv-web1-1")

    handlers = dumped.partition("handlers {")[2].partition("}")[0].split("\n")
    said = sorted(" ".join(line.split()) for line in handlers if line.strip())
    assert [line.replace('"', "").rstrip(";") for line in said] == [
        "fence-peer /usr/local/sbin/handler fence-peer /var/lib/mcv/n1",
        "out-of-sync /usr/local/sbin/handler out-of-sync /var/lib/mcv/n1",
        "unfence-peer /usr/local/sbin/handler unfence-peer /var/lib/mcv/n1",
    ]


def test_the_rate_of_the_settings_counts(tmp_path: Path) -> None:
    settings = DrbdSettings(resync_rate=50 * 1024**2)

    planned = drbdadm(tmp_path, text(8, settings), 8, "up", "all")

    assert "--resync-rate=51200K" in planned
    assert "--c-min-rate=12800K" in planned


def test_a_file_that_drbdadm_refuses_is_noticed(tmp_path: Path) -> None:
    broken = text(8).replace("protocol C;", "protocol D;")

    with pytest.raises(AssertionError, match="protocol"):
        drbdadm(tmp_path, broken, 8, "up", "all")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_an_ipv6_address_is_named_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generation: int
) -> None:
    sides = [replace(side, address=f"fd00::{n}") for n, side in enumerate(SIDES, 1)]
    monkeypatch.setattr("tests.drivers.test_drbd_resource_file.SIDES", sides)

    up = drbdadm(tmp_path, text(generation), generation, "up", "all")

    assert "ipv6:[fd00::1]:7900 ipv6:[fd00::2]:7900" in up.replace("\\", "")


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("side", [0, 1])
def test_a_host_finds_its_own_side_whatever_it_is_called(
    tmp_path: Path, generation: int, side: int
) -> None:
    sides = list(SIDES)
    sides[side] = replace(sides[side], hostname=THIS_HOST)
    renamed = text(generation, sides=sides)
    named = text(generation)

    for command in ("up", "adjust", "create-md", "fence-peer", "primary", "disconnect"):
        planned = drbdadm(tmp_path, renamed, generation, command, "all", node="renamed")
        assert planned == drbdadm(
            tmp_path, named, generation, command, "all", node=SIDES[side].hostname
        )
    assert "handler fence-peer" in drbdadm(
        tmp_path, renamed, generation, "fence-peer", "minor-100", node="renamed"
    ).replace("\\", "")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_in_an_armed_cluster_a_lost_peer_is_noticed_within_six_seconds(
    generation: int, tmp_path: Path
) -> None:
    usual, armed = (text(generation, armed=armed) for armed in (False, True))

    assert "ping-int" not in drbdadm(tmp_path, usual, generation, "adjust", "mcv-web1-1")
    told = drbdadm(tmp_path, armed, generation, "adjust", "mcv-web1-1")
    assert "--ping-int=3" in told and "--ping-timeout=30" in told
