"""Bridges for VLANs: the exact commands, over a kernel's files as they are then."""

from pathlib import Path

import pytest

from mcv.document.networks import TAGGED, tagged_bridge, tagged_port
from mcv.drivers.bridge import Bridges
from mcv.errors import CommandFailed

NAME = tagged_bridge("br0", 7)
PORT = tagged_port(NAME)


class Kernel:
    """The files of network devices, and the commands that were run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[str] = []
        self.failing = ""
        self.bridges = Bridges(root, self.run)
        self.device("br0", bridge=True)
        self.vlans("")

    def run(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        self.ran.append(" ".join(command))
        if self.failing and self.failing in self.ran[-1]:
            raise CommandFailed(f"`{self.ran[-1]}` exited with 1.")
        return ""

    def device(self, name: str, bridge: bool = False, **files: str) -> Path:
        path = self.root / "sys/class/net" / name
        (path / ("bridge" if bridge else "")).mkdir(parents=True, exist_ok=True)
        for file, text in {"mtu": "1500", "flags": "0x1003", **files}.items():
            (path / file).write_text(f"{text}\n")
        if bridge:
            (path / "brif").mkdir(exist_ok=True)
        return path

    def vlans(self, rows: str) -> None:
        (self.root / "proc/net/vlan").mkdir(parents=True, exist_ok=True)
        head = "VLAN Dev name\t | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n"
        (self.root / "proc/net/vlan/config").write_text(head + rows)

    def made(self) -> None:
        self.device(PORT)
        (self.device(NAME, bridge=True) / "brif" / PORT).mkdir(exist_ok=True)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_names_fit_the_kernel_and_are_the_same_everywhere() -> None:
    for vlan in (1, 4094):
        name = tagged_bridge("a-bridge.of-15c", vlan)
        assert TAGGED.fullmatch(name)
        assert max(len(name), len(tagged_port(name))) <= 15
    assert NAME == "mcv-7-c2ed84" == tagged_bridge("br0", 7) != tagged_bridge("br1", 7)


def test_a_bridge_for_a_vlan_is_made_and_nothing_is_done_where_it_is(kernel: Kernel) -> None:
    kernel.bridges.bring_up_tagged("br0", 7, NAME)

    assert kernel.ran == [
        f"ip link add link br0 name {PORT} type vlan id 7",
        f"ip link add name {NAME} type bridge",
        f"ip link set dev {PORT} master {NAME}",
        f"ip link set dev {PORT} up",
        f"ip link set dev {NAME} up",
    ]
    kernel.ran.clear()
    kernel.made()
    kernel.bridges.bring_up_tagged("br0", 7, NAME)
    assert kernel.ran == []


def test_a_port_is_as_wide_as_the_bridge_below_also_where_that_was_raised(kernel: Kernel) -> None:
    kernel.made()
    kernel.device("br0", bridge=True, mtu="9000")

    kernel.bridges.bring_up_tagged("br0", 7, NAME)

    assert kernel.ran == [f"ip link set dev {PORT} mtu 9000"]
    kernel.ran.clear()
    kernel.device("br0", bridge=True, mtu="1300")  # its port is no wider than before
    kernel.bridges.bring_up_tagged("br0", 7, NAME)
    assert kernel.ran == []


def test_a_bridge_that_was_half_made_is_finished(kernel: Kernel) -> None:
    kernel.device(PORT)
    kernel.bridges.bring_up_tagged("br0", 7, NAME)
    assert kernel.ran[0] == f"ip link add name {NAME} type bridge"

    kernel.ran.clear()
    kernel.made()
    kernel.device(NAME, bridge=True, flags="0x1002")
    kernel.bridges.bring_up_tagged("br0", 7, NAME)
    assert kernel.ran[-1] == f"ip link set dev {NAME} up"


def test_a_bridge_that_filters_lets_its_host_s_side_into_the_vlan(kernel: Kernel) -> None:
    (kernel.root / "sys/class/net/br0/bridge/vlan_filtering").write_text("1\n")

    kernel.bridges.bring_up_tagged("br0", 7, NAME)

    assert "bridge vlan add dev br0 vid 7 self" in kernel.ran


def test_the_host_has_no_address_of_ipv6_in_a_guest_s_vlan(kernel: Kernel) -> None:
    files = [
        kernel.root / f"proc/sys/net/ipv6/conf/{device}/disable_ipv6" for device in (PORT, NAME)
    ]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("0")

    kernel.bridges.bring_up_tagged("br0", 7, NAME)

    assert [file.read_text() for file in files] == ["1", "1"]


def test_ipv6_that_cannot_be_switched_off_is_told(kernel: Kernel) -> None:
    (kernel.root / f"proc/sys/net/ipv6/conf/{PORT}/disable_ipv6").mkdir(parents=True)

    with pytest.raises(CommandFailed, match=f"IPv6 of {PORT} cannot be switched off") as failed:
        kernel.bridges.bring_up_tagged("br0", 7, NAME)

    assert "mcvd.service" in failed.value.hint


def test_the_unit_of_mcvd_lets_it_switch_ipv6_off() -> None:
    unit = Path(__file__).parents[2] / "etc" / "mcvd.service"

    lines = unit.read_text().splitlines()

    (writable,) = [line for line in lines if line.startswith("ReadWritePaths=")]
    assert "ProtectKernelTunables=yes" in lines
    assert "-/proc/sys/net/ipv6/conf" in writable.removeprefix("ReadWritePaths=").split()


def test_a_bridge_goes_with_its_port_and_not_from_under_a_guest(kernel: Kernel) -> None:
    kernel.made()
    guest = kernel.root / "sys/class/net" / NAME / "brif/vnet0"
    guest.mkdir()
    assert kernel.bridges.tagged() == [NAME]

    assert kernel.bridges.take_away_tagged(NAME) is False
    assert kernel.ran == []
    guest.rmdir()
    assert kernel.bridges.take_away_tagged(NAME) is True
    assert kernel.ran == [f"ip link delete dev {NAME}", f"ip link delete dev {PORT}"]


def test_a_port_without_its_bridge_is_known_as_left_over(kernel: Kernel) -> None:
    kernel.device(PORT)

    assert kernel.bridges.tagged() == [NAME]
    kernel.bridges.take_away_tagged(NAME)
    assert kernel.ran == [f"ip link delete dev {PORT}"]


def test_why_a_host_cannot_have_a_vlan(kernel: Kernel) -> None:
    assert kernel.bridges.why_not_tag("br0", 7, NAME) is None
    kernel.vlans(f"{PORT}    | 7  | br0\n")
    assert kernel.bridges.why_not_tag("br0", 7, NAME) is None

    kernel.vlans("br0.7          | 7  | br0\n")
    taken = kernel.bridges.why_not_tag("br0", 7, NAME)
    assert taken is not None and "is br0.7 on this host already" in taken.message
    assert kernel.bridges.why_not_tag("br0", 8, tagged_bridge("br0", 8)) is None

    (kernel.root / "proc/net/vlan/config").unlink()
    kernel.failing = "modprobe"
    unknown = kernel.bridges.why_not_tag("br0", 7, NAME)
    assert unknown is not None and "knows no VLANs" in unknown.message
    assert kernel.ran == ["modprobe 8021q"]


def test_the_mtu_of_what_is_there(kernel: Kernel) -> None:
    assert (kernel.bridges.mtu("br0"), kernel.bridges.mtu("br9")) == (1500, 0)
