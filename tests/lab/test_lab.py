"""The lab keeps what it promises: nodes are whole hosts, die, come back, and can be cut off."""

from tests.lab import Node, guests

DOMAIN = """
<domain type='qemu'><name>idle</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/>
<source file='/var/lib/libvirt/images/idle.img'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
"""
REACH = "timeout 3 bash -c '</dev/tcp/10.99.0.{}/22'"


def reaches(node: Node, other: Node) -> bool:
    return node.run(REACH.format(other.number), check=False).code == 0


def test_a_node_is_a_whole_host(machines: list[Node]) -> None:
    node1, node2 = machines

    assert node1.run("hostname").stdout == "node1\n"
    assert "10.99.0.2" in node1.run("getent hosts node2").stdout
    assert node1.run("vgs --noheadings -o vg_name").stdout.split() == ["vg0"]
    node2.run("modprobe drbd && grep -q 'version: 8.4' /proc/drbd")
    node2.run("test -d /sys/class/net/br-lan/bridge && test -d /sys/class/net/br-dmz/bridge")
    assert node1.run("systemctl is-enabled mcvd cron libvirtd").stdout.split() == ["enabled"] * 3
    # Its manual pages are not asked for: a bare Debian has no `man`.
    verify = "systemctl cat mcvd | systemd-analyze verify --man=no mcvd.service 2>&1"
    assert "bad" not in node1.run(verify).stdout
    assert reaches(node1, node2)


def test_a_node_s_modules_are_its_own_kernel_s(machines: list[Node]) -> None:
    node1, _ = machines

    dependencies = "/lib/modules/$(uname -r)/modules.dep"
    assert "/drbd.ko" in node1.run(f"grep drbd.ko {dependencies}").stdout
    assert node1.run("ls /lib/modules/").stdout == node1.run("uname -r").stdout


def test_a_killed_node_comes_back_with_its_disks(machines: list[Node]) -> None:
    node1, node2 = machines
    node2.run("echo kept > /root/kept; lvcreate -qq -y -L 8M -n kept vg0; sync")

    node2.kill()
    assert not node2.is_running
    assert not reaches(node1, node2)
    node2.boot()

    assert (
        node2.run("cat /root/kept; lvs --noheadings -o lv_name vg0").stdout.split() == ["kept"] * 2
    )
    assert reaches(node1, node2)
    node2.run("lvremove -qq -y vg0/kept; rm /root/kept")


def test_a_node_that_is_cut_off_answers_nobody_but_the_test(machines: list[Node]) -> None:
    node1, node2 = machines

    node2.cut()
    assert not reaches(node1, node2)
    assert not reaches(node2, node1)
    assert node2.run("hostname").stdout == "node2\n"

    node2.heal()
    assert reaches(node1, node2)


def test_a_guest_runs_under_the_node_s_libvirt(machines: list[Node]) -> None:
    node1, _ = machines
    node1.put(guests.idle(), "/var/lib/libvirt/images/idle.img")
    node1.put(DOMAIN, "/root/idle.xml")

    node1.run("virsh define /root/idle.xml && virsh start idle")

    assert "running" in node1.run("virsh domstate idle").stdout
    node1.run(
        "virsh destroy idle && virsh undefine idle && "
        "rm /root/idle.xml /var/lib/libvirt/images/idle.img"
    )


def test_a_reset_leaves_nothing_behind(machines: list[Node]) -> None:
    node1, _ = machines
    node1.put(guests.idle(), "/var/lib/libvirt/images/idle.img")
    node1.put(DOMAIN, "/root/idle.xml")
    node1.run("virsh define /root/idle.xml && virsh start idle")
    node1.run("lvcreate -qq -y -L 8M -n left vg0; touch /var/lib/mcv/left /etc/drbd.d/left.res")

    node1.reset()

    assert node1.run("virsh -q list --all --name").stdout.split() == []
    assert node1.run("lvs --noheadings vg0; ls /etc/drbd.d/*.res", check=False).stdout == ""
    node1.run("test ! -e /var/lib/mcv/left")
