"""Guests with LVM on their disks: the host's LVM sees their groups, and mcv goes on working.

The node's LVM is Debian's, without a filter. The host stands in for the guest that makes a
volume group on its disk; a group of the host's own name is made from a group's backup.
"""

from typing import Any

import pytest

from tests.lab import Node, reality
from tests.lab.cluster import create, mcv, told
from tests.lab.lab import wait_until

CONF = "/etc/lvm/lvm.conf"
STOCK = f"sed -i -e '/# mcv:/d' -e '/^\\t\\(global_\\)*filter/d' {CONF}"
NOTE = "/var/lib/mcv/node1/notes/vg0.volume-group.json"


def resource(vm: str) -> str:
    return f"mcv-{vm}-1"


def give_lvm(node: Node, vm: str, group: str) -> None:
    """Make a volume group on the disk of a VM that runs."""
    disk = reality.device(node, resource(vm))
    node.run(
        f"pvcreate -qq -y --zero n {disk} && vgcreate -qq -s 1M {group}-{vm} {disk} && "
        f"lvcreate -qq -y -n root -L 1M {group}-{vm} && vgchange -qq -a n {group}-{vm} && "
        f"vgcfgbackup -qq -f /root/{vm}.vg {group}-{vm} && "
        f"sed -i 's/^{group}-{vm} /{group} /' /root/{vm}.vg && "
        f"vgcfgrestore -qq -y --force --devices {disk} -f /root/{vm}.vg {group}"
    )


def groups(node: Node) -> list[str]:
    """The groups that the host's own LVM sees."""
    return sorted(node.run("vgs --noheadings --options vg_name").stdout.split())


def volumes(node: Node) -> set[str]:
    """The volumes of the host's own group."""
    seen = node.run("lvs --devices /dev/ubdb --noheadings --options lv_name").stdout
    return set(seen.split())


def role(node: Node, vm: str) -> str:
    view = reality.drbd(node, resource(vm))
    return view.role if view else "absent"


def seen_guests(node: Node) -> list[dict[str, Any]]:
    """What a check finds about LVM's configuration."""
    findings = told(node, "cluster check")["findings"]
    return [row for row in findings if row["subject"] == CONF]


@pytest.mark.soak
def test_a_guests_volume_groups_stop_nothing(pair: list[Node]) -> None:
    node1, node2 = pair
    for node in pair:
        node.run(STOCK)
    for vm, group in (("web1", "guestvg"), ("web2", "vg0")):
        create(node1, vm)
        mcv(node1, f"start {vm}")
        give_lvm(node1, vm, group)
    assert groups(node1) == ["guestvg", "vg0", "vg0"]
    assert "used by VGs" in node1.run("vgs 2>&1").stdout

    mcv(node1, "create web3 --memory 16MiB --disk 8MiB")
    assert groups(node1) == ["guestvg", "vg0", "vg0"]
    assert {resource("web3")} < volumes(node1) and {resource("web3")} < volumes(node2)
    mcv(node1, "start web3")
    mcv(node1, "stop web3")

    # A deletion that is cut off, and repaired beside the guests' groups.
    node1.run("mv /sbin/lvremove /sbin/lvremove.off && ln -s /bin/false /sbin/lvremove")
    mcv(node1, "delete web3 --yes", code=4)
    wait_until(
        lambda: "lvremove" in node1.run("mcv repair 2>&1", check=False).stdout,
        60,
        "the repair to say what is in the way",
    )
    node1.run("mv -f /sbin/lvremove.off /sbin/lvremove")
    mcv(node1, "repair")
    wait_until(lambda: resource("web3") not in volumes(node1), 60, "the deletion to end")

    # A start of the daemon, which activates the volumes of the group that it has noted.
    node1.run("systemctl restart mcvd")
    mcv(node1, "stop web1 web2")
    assert (role(node1, "web1"), role(node1, "web2")) == ("Secondary", "Secondary")
    mcv(node1, "migrate --node node2 web2")
    mcv(node2, "start web2")
    assert "vg0" in groups(node2) and role(node2, "web2") == "Primary"
    mcv(node2, "stop web2")
    mcv(node2, "delete web1 web2 --yes")
    assert volumes(node1) == volumes(node2) == set()


def test_udev_leaves_the_disks_of_guests_alone(pair: list[Node]) -> None:
    node1, node2 = pair
    create(node1, "web1")

    for node in pair:
        disk = reality.device(node, resource("web1"))
        known = node.run(f"udevadm info --query=property {disk}").stdout.splitlines()
        assert {
            "SYSTEMD_READY=0",
            "DM_UDEV_DISABLE_OTHER_RULES_FLAG=1",
            "UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=1",
        } <= set(known), known
    rule = "/etc/udev/rules.d/57-mcv.rules"
    assert node1.run(f"stat --format '%a %U' {rule}").stdout == "644 root\n"
    mcv(node1, "delete web1 --yes")
    assert node2.run("ls /etc/lvm").stdout.split() == node1.run("ls /etc/lvm").stdout.split()


def test_the_line_that_hides_guests_is_named_and_added_once(pair: list[Node]) -> None:
    node1, node2 = pair
    for node in pair:
        node.run(STOCK)
    node2.run(f"sed -i 's/^devices {{/&\\n\\tglobal_filter = [ \"a|.*|\" ]/' {CONF}")

    rows = {row["node"]: row for row in seen_guests(node1)}

    assert 'global_filter = [ "r|^/dev/drbd|" ]' in rows["node1"]["message"]
    assert f"In {CONF}:" in rows["node2"]["hint"] and rows["node2"]["fix"] is None
    theirs = node2.run(f"cat {CONF}").stdout
    mcv(node1, "cluster check --fix --yes")
    assert [row["node"] for row in seen_guests(node1)] == ["node2"]
    assert node2.run(f"cat {CONF}").stdout == theirs
    assert "r|^/dev/drbd|" in node1.run("lvmconfig devices/global_filter").stdout
    # With a filter of the host's own, of one pattern, mcv finds the host's group all the same.
    node1.run(f"sed -i 's/^devices {{/&\\n\\tfilter = [ \"r|^\\/dev\\/cdrom|\" ]/' {CONF}")
    mcv(node1, "create web1 --memory 16MiB --disk 8MiB")
    mcv(node1, "delete web1 --yes")
    for node in pair:
        node.run(STOCK)


def test_a_group_that_was_made_anew_is_left_alone(pair: list[Node]) -> None:
    node1, _ = pair
    create(node1, "web1")
    node1.run(f"cp {NOTE} /root/note; sed -i 's/:\"....../:\"aaaaaa/' {NOTE}")

    refusal = mcv(node1, "create web2 --memory 16MiB --disk 8MiB", code=3).stderr

    assert "The volume group vg0 is another one" in refusal and f"rm {NOTE}" in refusal
    node1.run(f"printf '{{\"uuid\":' > {NOTE}")
    assert "cannot be read" in mcv(node1, "create web2 --memory 16MiB --disk 8MiB", code=3).stderr
    node1.run(f"rm {NOTE}")
    mcv(node1, "delete web1 --yes")
    assert node1.run(f"cat {NOTE}").stdout == node1.run("cat /root/note").stdout
