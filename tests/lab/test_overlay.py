"""Overlays on nodes: tried by each libvirt, started, moved live and stopped, and taken away."""

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import create, mcv, told

WATCHDOG = "<domain><devices><watchdog model='i6300esb' action='reset'/></devices></domain>"
OTHER = WATCHDOG.replace("reset", "none")
QEMU = (
    "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:commandline>"
    "<q:arg value='-no-user-config'/></q:commandline></domain>"
)
HOSTILE = (
    "<domain><name>a</name><uuid>b</uuid><devices><disk/><emulator>/bin/sh</emulator></devices>"
    "</domain>"
)
NONSENSE = "<domain><devices><nonsense/></devices></domain>"


def lay(node: Node, overlay: str, code: int = 0) -> str:
    node.put(overlay.encode(), "/root/overlay.xml")
    said = mcv(node, "edit web1 --file /root/overlay.xml --yes", code=code)
    return said.stdout + said.stderr


def domains(node: Node) -> list[str]:
    return node.run("virsh -q list --all --name").stdout.split()


def has_watchdog(node: Node, action: str = "reset") -> bool:
    xml = node.run("virsh dumpxml web1").stdout
    return f"<watchdog model='i6300esb' action='{action}'" in xml


@pytest.mark.soak
def test_an_overlay_is_tried_laid_over_and_goes_along(pair: list[Node]) -> None:
    one, two = pair
    create(one, "web1")
    refused = lay(one, HOSTILE, code=3)
    for words in ("<name>", "<uuid>", "<devices/disk>", "<devices/emulator>"):
        assert words in refused
    refused = lay(one, NONSENSE, code=3)
    assert all(f"libvirt on {node.name} does not take it" in refused for node in pair), refused
    assert (domains(one), domains(two)) == (["web1"], [])

    shown = mcv(one, "edit web1 --show").stdout
    assert "<watchdog" not in shown and "<name>web1</name>" in shown
    lay(one, WATCHDOG)
    assert (domains(one), domains(two)) == (["web1"], [])
    assert "<watchdog" in mcv(two, "edit web1 --show").stdout

    mcv(one, "start web1")
    assert has_watchdog(one)
    mcv(one, "migrate --online --node node2 web1")
    assert has_watchdog(two) and domains(one) == []

    lay(two, OTHER)
    assert any("overlay" in words for words in told(one, "info web1")["pending"])
    mcv(two, "migrate --online --node node1 web1")
    assert has_watchdog(one) and domains(two) == []
    assert any("overlay" in words for words in told(two, "info web1")["pending"])
    mcv(one, "stop web1")
    mcv(one, "start web1")
    assert has_watchdog(one, "none")
    assert told(one, "info web1")["pending"] == []

    mcv(one, "stop web1")
    lay(one, QEMU)
    refused = mcv(one, "migrate web1", code=3).stderr
    assert "is tied to node1" in refused and "mcv edit web1" in refused
    mcv(one, "start web1")
    line = one.run("tr '\\0' '\\n' < /proc/$(pidof qemu-system-x86_64)/cmdline").stdout
    assert line.split().count("-no-user-config") == 2
    mcv(one, "stop web1")
    mcv(one, "start web1 --without-overlay")
    line = one.run("tr '\\0' '\\n' < /proc/$(pidof qemu-system-x86_64)/cmdline").stdout
    assert line.split().count("-no-user-config") == 1
    mcv(one, "stop web1")
    mcv(one, "edit web1 --remove --yes")
    assert reality.document(one)["vms"]["web1"]["overlay"] == ""

    # A trial that was cut off goes with the daemon's next start.
    left = "sed 's/web1/mcv_trial-left/; /<uuid>/d' /root/web1.xml > /root/left.xml"
    one.run(f"virsh dumpxml web1 > /root/web1.xml; {left}; virsh -q define /root/left.xml")
    one.run("systemctl restart mcvd")
    wait_until(lambda: domains(one) == ["web1"], 30, "the trial to be removed")

    # What a host without such devices answers; the lab has none to give.
    assert told(one, "device list --node node2") == []
    assert "no USB device 1d6b:0002" in mcv(one, "device add web1 usb 1d6b:0002", code=3).stderr
    mcv(one, "delete web1 --yes")
