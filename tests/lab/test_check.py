"""`mcv cluster check` on real nodes: findings made for real, and what is safe mended."""

import json
import time
from typing import Any

import pytest

from tests.lab import Node, reality
from tests.lab.cluster import create, mcv, told
from tests.lab.lab import wait_until

Row = tuple[str, str, str]  # severity, node, subject
HOOK = "/etc/libvirt/hooks/qemu.d/mcv"
MIB = 1 << 20
GHOST = """\
resource mcv-ghost-2 {{
    device /dev/drbd900 minor 900;
    meta-disk internal;
    on {here} {{ address {mine}:7999; disk /dev/vg0/mcv-ghost-2; }}
    on {there} {{ address {theirs}:7999; disk /dev/vg0/mcv-ghost-2; }}
}}
"""


def check(node: Node, code: int) -> dict[Row, dict[str, Any]]:
    """What a check finds, by severity, node and subject.

    The note of a new VM is left out, that the nodes' stock LVM looks at guests' disks, that users
    of the machine that the lab runs on see arguments, and the note that the lab's nodes have no
    mail program, which each of them is to have.
    """
    aside = ("never verified", "can see the DRBD secret", "looks at guests' disks")
    answer = json.loads(mcv(node, "cluster check --json", code=code).stdout)
    assert answer["ok"] == (code == 0)
    assert all(
        {"severity", "node", "subject", "message", "hint"} <= set(row) for row in _of(answer)
    )
    rows = {(row["severity"], row["node"], row["subject"]): row for row in _of(answer)}
    assert rows.pop(("note", node.name, "mail"))
    return {
        row: found
        for row, found in rows.items()
        if row[2] != "mail" and not any(words in found["message"] for words in aside)
    }


def _of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return list(answer["findings"])


def resource(vm: str) -> str:
    return f"mcv-{vm}-1"


def file_of(name: str) -> str:
    return f"/etc/drbd.d/{name}.res"


def leave_over(node: Node, other: Node) -> None:
    """What a failed removal could leave: volumes, a resource that is up, its file, a domain."""
    node.run("lvcreate -qq -y -L 8M --addtag mcv -n mcv-ghost-1 vg0")
    node.run("lvcreate -qq -y -L 8M --addtag mcv -n mcv-ghost-2 vg0")
    node.run("lvcreate -qq -y -L 8M -n mcv-kept-1 vg0")
    text = GHOST.format(here=node.name, mine=node.address, there=other.name, theirs=other.address)
    node.put(text, file_of("mcv-ghost-2"))
    node.run("drbdadm create-md --force mcv-ghost-2 && drbdadm up mcv-ghost-2")


def test_what_is_safe_is_shown_and_mended(pair: list[Node]) -> None:
    node1, node2 = pair
    create(node1, "web1")
    create(node1, "web2")
    mcv(node1, "cluster check --fix --yes")  # LVM's filter
    assert check(node1, 0) == {}
    assert "All is well." in mcv(node2, "cluster check").stdout
    xml = node1.run("virsh dumpxml --inactive web1").stdout

    leave_over(node2, node1)
    node2.put(xml, "/root/web1.xml")
    uuid = "6d637600-0000-4000-8000-00000000000f"
    ghost = f"sed -e 's|<name>web1<|<name>ghost<|' -e 's|<uuid>.*<|<uuid>{uuid}<|'"
    node2.run(f"{ghost} /root/web1.xml > /root/ghost.xml")
    node2.run("virsh define /root/web1.xml && virsh define /root/ghost.xml")
    node2.run(f"echo '# by hand' >> {file_of(resource('web1'))}")
    node2.run(f"drbdadm down {resource('web2')} && rm {file_of(resource('web2'))}")
    node1.run("virsh undefine web1 && virsh autostart web2")
    before = reality.snapshots(pair)

    found = check(node1, 5)

    wrong = {
        ("error", "node1", "web1"),
        ("error", "node2", "web1"),
        ("error", "node2", file_of(resource("web1"))),
        ("error", "node2", file_of(resource("web2"))),
        ("error", "node2", resource("web2")),
    }
    left = {
        ("warning", "node1", "web2"),
        ("warning", "node2", "ghost"),
        ("warning", "node2", "mcv-ghost-2"),
        ("warning", "node2", file_of("mcv-ghost-2")),
        ("warning", "node2", "vg0/mcv-ghost-1"),
        ("warning", "node2", "vg0/mcv-ghost-2"),
    }
    assert set(found) == {*wrong, *left, ("note", "node2", "vg0/mcv-kept-1")}, found
    assert "--yes" in mcv(node1, "cluster check --fix", code=3).stderr
    plan = mcv(node1, "cluster check --fix --dry-run").stdout.splitlines()
    assert len(plan) == len(wrong) + len(left)
    assert reality.snapshots(pair) == before

    answer = json.loads(mcv(node1, "cluster check --fix --yes --json").stdout)

    assert answer["ok"] and len(answer["fixed"]) == len(plan)
    assert [row for row in answer["fixed"] if not row["done"]] == []
    assert reality.volumes(node2) == {resource("web1"), resource("web2"), "mcv-kept-1"}
    assert reality.kernel_resources(node2) == {resource("web1"), resource("web2")}
    assert reality.resource_files(node2) == {resource("web1"), resource("web2")}
    assert (reality.domains(node1), reality.domains(node2)) == ({"web1", "web2"}, set())
    assert node1.run("virsh -q list --all --autostart --name").stdout.split() == []
    for vm in ("web1", "web2"):
        view = reality.drbd(node1, resource(vm))
        assert view and view.is_well
    node2.run("lvremove -qq -y vg0/mcv-kept-1")
    assert check(node2, 0) == {}
    mcv(node1, "delete web1 web2 --yes")


def test_what_a_host_lacks_is_named(pair: list[Node]) -> None:
    node1, node2 = pair
    pki = "/var/lib/mcv/node2/pki"
    package = "/opt/mcv/lib/python3*/site-packages/mcv/__init__.py"
    node2.run("ip link set br-lan down && ip link set br-lan name br-off")
    # A removal of a node in an earlier test has made another secret, in a file of its id.
    node2.run(f"mkdir /root/secret && mv {pki}/drbd-secret* /root/secret/")
    node2.run("mv /usr/sbin/drbdmeta /root")
    node2.put(reality.FOREIGN, reality.FOREIGN_FILE)
    node2.run("mkdir -p /etc/systemd/system/multi-user.target.wants")
    node2.run("ln -s /dev/null /etc/systemd/system/multi-user.target.wants/drbd.service")
    node2.run(
        f"cp {package} /root/init.py && sed -i 's/^__version__ = .*/__version__ = \"9\"/' {package}"
    )
    node2.run("date -s '+20 sec' && systemctl restart mcvd")
    wait_until(lambda: told(node2, "info")["nodes"][0]["status"] == "online", 30, "node2")
    wait_until(lambda: ("error", "node2", "node2") not in check(node1, 5), 30, "node2 in contact")

    found = check(node1, 5)

    assert set(found) == {
        ("error", "node2", "lan"),
        ("error", "node2", "DRBD secret"),
        ("error", "node2", "drbdmeta"),
        ("warning", "node2", "drbd.service"),
        ("warning", "node2", "version"),
        ("warning", "node2", "clock"),
        ("error", "node2", "/etc/drbd.d"),
        ("warning", "node2", reality.FOREIGN_FILE),
    }, found
    said = found["error", "node2", "/etc/drbd.d"]["message"]
    assert "drbd.d/theirs.res:2: Parse error" in said
    node2.run(f"rm {reality.FOREIGN_FILE}")
    node2.run("date -s '-20 sec'; ip link set br-off name br-lan && ip link set br-lan up")
    node2.run(f"cp /root/init.py {package}; mv /root/drbdmeta /usr/sbin")
    node2.run("rm /etc/systemd/system/multi-user.target.wants/drbd.service")

    node2.run(f"cp -a {pki} /root/pki && rm {pki}/*.pem && systemctl restart mcvd")
    found = check(node1, 5)
    assert ("error", "node2", "certificate") in found
    node2.run(f"rm -rf {pki} && mv /root/pki {pki} && mv /root/secret/* {pki}/")
    node2.run("rmdir /root/secret")
    node2.run("systemctl restart mcvd")
    wait_until(lambda: _is_well(node1), 30, "node2")

    node2.sigstop()
    began = time.monotonic()
    found = check(node1, 5)
    took = time.monotonic() - began
    node2.sigcont()
    assert set(found) == {("error", "node2", "node2")}
    assert took < 10  # 3 for the node's answer; the rest is a busy machine's
    mcv(node1, "node offline node2 --yes")
    assert ("note", "node2", "node2") in check(node1, 0)
    mcv(node1, "node online node2")
    assert check(node1, 0) == {}


def _says_repair(node: Node) -> bool:
    rows = _of(json.loads(node.run("mcv cluster check --json", check=False).stdout))
    return any(
        (row["severity"], row["node"], row["subject"]) == ("warning", "node1", "web1")
        and "mcv repair" in row["hint"]
        for row in rows
    )


def _is_well(node: Node) -> bool:
    return node.run("mcv cluster check", check=False).code == 0


@pytest.mark.soak
def test_what_is_wrong_with_replicas_is_named(pair: list[Node]) -> None:
    node1, node2 = pair
    create(node1, "web1")
    create(node1, "web2")
    web1, web2 = resource("web1"), resource("web2")

    node2.run(f"drbdadm disconnect {web1} && drbdadm outdate {web1}")
    found = check(node1, 5)
    assert set(found) == {("error", "node2", web1)}, found
    assert "split brain" not in str(found)
    node2.run(f"drbdadm connect {web1}")
    wait_until(lambda: _is_well(node1), 20, f"{web1} to be well")

    for node in pair:
        device = reality.device(node, web1)
        node.run(f"drbdsetup disk-options {device[9:]} --fencing=dont-care")
    for node in pair:
        node.run(f"drbdadm disconnect {web1}")
    for node in pair:
        device = reality.device(node, web1)
        node.run(f"drbdadm primary --force {web1}")
        reality.write_byte(node, device, 6 * MIB, "Y")
        node.run(f"drbdadm secondary {web1}")
    found = check(node1, 5)
    assert set(found) == {("error", "node1", web1)}, found
    assert "split brain" in found["error", "node1", web1]["message"]

    reality.write_byte(node2, f"/dev/vg0/{web2}", 5 * MIB, "X")
    mcv(node1, "verify web2", code=5)
    assert "verification" in check(node1, 5)["error", "node1", web2]["message"]

    node2.run(f"drbdadm down {web2} && lvrename -qq vg0 {web2} other")
    found = check(node1, 5)
    missing = {("error", "node2", f"vg0/{web2}"), ("error", "node2", web2)}
    assert missing < set(found)
    assert found["error", "node2", web2]["fix"] is None
    node2.run(f"lvrename -qq vg0 other {web2} && lvreduce -qq -y -f -L 8M vg0/{web2}")
    assert "too small" in check(node1, 5)["error", "node2", f"vg0/{web2}"]["message"]
    mcv(node1, "delete web1 web2 --yes")


@pytest.mark.soak
def test_what_was_left_half_way_or_runs_elsewhere_is_named(pair: list[Node]) -> None:
    node1, node2 = pair
    create(node1, "web1")
    mcv(node1, "create web2 --memory 16MiB")
    node2.put(node1.run("virsh dumpxml --inactive web2").stdout, "/root/web2.xml")

    node1.run("virsh setmaxmem web2 32MiB --config")
    refused = node2.run("virsh define /root/web2.xml && virsh start web2", check=False)
    assert "mcv: web2 belongs to node1" in refused.stderr
    # Where libvirt sees no hook it starts the domain.
    node2.run(f"mount --bind /dev/null {HOOK} && virsh start web2; umount {HOOK}")
    found = check(node1, 5)
    assert set(found) == {("error", "node1", "web2"), ("error", "node2", "web2")}, found
    assert "memory" in found["error", "node1", "web2"]["message"]
    assert "mcv stop web2 --on node2" in found["error", "node2", "web2"]["hint"]
    mcv(node1, "stop web2 --on node2")
    mcv(node1, "register web2")
    assert check(node1, 0) == {}

    node2.run("mv /sbin/lvremove /sbin/lvremove.off && ln -s /bin/false /sbin/lvremove")
    mcv(node1, "delete web1 --yes", code=4)
    # Between two tries of mcvd's own; during one the entry is at work, and no finding.
    wait_until(lambda: _says_repair(node1), 60, "the unfinished deletion being named")
    node2.run("mv -f /sbin/lvremove.off /sbin/lvremove")
    mcv(node1, "repair")
    wait_until(lambda: _is_well(node1), 30, "the deletion to end")
    assert reality.volumes(node2) == set()
    mcv(node1, "delete web2 --yes")


# A guest of somebody else's: nothing of mcv's is in it.
GUEST = """\
<domain type='qemu'>
  <name>app1</name>
  <memory unit='MiB'>16</memory>
  <os><type>hvm</type></os>
</domain>
"""


def change_something(nodes: list[Node]) -> None:
    """Two changes of the document, and time for every node to act on them."""
    for verb in ("add", "remove"):
        mcv(nodes[0], f"permission {verb} carol")
    time.sleep(4)


def test_a_guest_that_has_a_vms_name_is_named_and_never_touched(pair: list[Node]) -> None:
    node1, node2 = pair
    node2.put(GUEST, "/root/app1.xml")
    node2.run("virsh -q define /root/app1.xml && virsh -q start app1")
    before = reality.snapshots(pair)

    refused = mcv(node1, "create app1 --memory 16MiB", code=3)

    assert "A domain app1 that is not mcv's is running on node2." in refused.stderr
    assert "virsh domrename app1 NEW" in refused.stderr
    assert reality.snapshots(pair) == before

    # The name is taken while node2 is away. It comes back, and both stay as they are.
    mcv(node1, "node offline node2 --yes")
    mcv(node1, "create app1 --memory 16MiB")
    mcv(node1, "node online node2", timeout=60)
    change_something(pair)
    assert node2.run("virsh domstate app1").stdout.strip() == "running"
    sentence = "A domain app1 that is not mcv's is running on node2"
    # What node2 has is told by its next report.
    wait_until(lambda: sentence in (told(node1, "list")[0]["attention"] or ""), 30, "the report")
    assert "not mcv's" in check(node1, 0)["warning", "node2", "app1"]["message"]
    mcv(node1, "stop app1 --on node2", code=3)

    node2.run("virsh -q destroy app1")
    change_something(pair)
    mcv(node1, "cluster check --fix --yes")
    assert node2.run("virsh domstate app1").stdout.strip() == "shut off"
    mcv(node1, "start app1")
    mcv(node1, "stop app1 && mcv delete app1 --yes")
    node2.run("virsh -q undefine app1")
