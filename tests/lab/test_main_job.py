"""What an operator does with VMs day by day, on real nodes; what the demo shows is not repeated."""

import json
import os
import re
import shlex
import time

import pytest

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import create, mcv, told

MIB = 1 << 20
CD_TARGET = "sdzz"


def resource(vm: str, disk: int = 1) -> str:
    return f"mcv-{vm}-{disk}"


def role(node: Node, vm: str) -> str:
    view = reality.drbd(node, resource(vm))
    assert view is not None
    return view.role


def delete(node: Node, *names: str) -> None:
    mcv(node, f"delete {' '.join(names)} --yes")


def dominfo(node: Node, vm: str) -> dict[str, str]:
    lines = node.run(f"virsh dominfo {vm}").stdout.splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key: value.strip() for key, _, value in pairs}


def test_a_stopped_vm_moves_there_and_back(pair: list[Node]) -> None:
    node1, node2 = pair
    create(node1, "web1", image=guests.idle() + os.urandom(MIB))
    bytes_ = reality.digest(node1, f"/dev/vg0/{resource('web1')}", 8)

    mcv(node1, "migrate --node node2 web1")

    assert (reality.domains(node1), reality.domains(node2)) == (set(), {"web1"})
    assert reality.document(node1)["vms"]["web1"]["node"] == "node2"
    assert reality.digest(node2, f"/dev/vg0/{resource('web1')}", 8) == bytes_
    mcv(node1, "start web1")
    assert reality.domain(node2, "web1") == "running"

    mcv(node1, "migrate --node node1 web1", code=3)
    assert reality.domain(node2, "web1") == "running"
    mcv(node1, "stop web1")
    mcv(node1, "migrate --node node1 --start-after-migration web1")

    assert (reality.domains(node1), reality.domains(node2)) == ({"web1"}, set())
    assert reality.domain(node1, "web1") == "running"
    assert (role(node1, "web1"), role(node2, "web1")) == ("Primary", "Secondary")
    mcv(node1, "stop web1")
    assert (role(node1, "web1"), role(node2, "web1")) == ("Secondary", "Secondary")
    delete(node1, "web1")


def pending_of(node: Node) -> object:
    return told(node, "info web1")["pending"]


@pytest.mark.soak
def test_what_an_update_cannot_do_while_the_vm_runs_is_pending_until_its_next_start(
    pair: list[Node],
) -> None:
    """The guest has no driver of the balloon: it keeps its memory."""
    node1, node2 = pair
    mcv(node1, "create web1 --memory 16MiB --disk 4MiB")
    mcv(node1, "start web1")
    assert told(node2, "info web1")["pending"] == []

    said = mcv(
        node2,
        "update web1 --memory 48MiB --cpus 2 --cpu-limit 50 --io-limit iops=500 --clock localtime "
        "--watchdog reset --tag lab --protect yes",
    ).stdout

    info = dominfo(node1, "web1")
    assert (info["Max memory"], info["CPU(s)"]) == ("16384 KiB", "2")
    assert re.search(r"global_quota *: 50000", node1.run("virsh schedinfo web1").stdout)
    assert re.search(r"total_iops_sec *: 500", node1.run("virsh blkdeviotune web1 vda").stdout)
    waits = [
        "memory 48MiB (its guest has 16MiB, and began with 16MiB)",
        "clock localtime (it runs with utc)",
        "watchdog reset (it runs with none)",
    ]
    wait_until(lambda: pending_of(node2) == waits, 20, "node1 to tell what is pending")
    assert all(text in said for text in waits)
    assert [row["name"] for row in told(node1, "list --tag lab --state running")] == ["web1"]
    mcv(node1, "migrate --online --node node2 web1")
    wait_until(lambda: pending_of(node1) == waits, 20, "node2 to tell what is pending")
    mcv(node1, "stop web1")
    assert "mcv update web1 --protect no" in mcv(node1, "delete web1 --yes", code=3).stderr

    mcv(node1, "start web1")

    assert told(node1, "info web1")["pending"] == []
    info = dominfo(node2, "web1")
    assert (info["Max memory"], info["CPU(s)"], info["State"]) == ("49152 KiB", "2", "running")
    mcv(node1, "update web1 --memory 32MiB --cpus 1 --cpu-limit none --protect no")
    waits = ["memory 32MiB (its guest has 48MiB)", "1 CPU (it runs with 2)"]
    wait_until(lambda: pending_of(node1) == waits, 20, "node2 to tell what is pending")
    mcv(node1, "stop web1")
    assert dominfo(node2, "web1")["Max memory"] == "32768 KiB"
    assert dominfo(node2, "web1")["CPU(s)"] == "1"
    delete(node1, "web1")


def test_saved_memory_goes_on_where_it_fits_and_is_never_lost_in_silence(pair: list[Node]) -> None:
    node1, node2 = pair
    saved = "/var/lib/libvirt/qemu/save/web1.save"
    create(node1, "web1")
    mcv(node1, "start web1")
    node1.run("virsh managedsave web1")

    assert told(node2, "list")[0]["state"] == "saved"
    for words in ("migrate --node node2 web1", "update web1 --cpus 2", "delete web1 --yes"):
        assert "--discard-saved" in mcv(node1, words, code=3).stderr
    assert "with the memory that was saved" in mcv(node2, "start web1").stdout
    assert reality.domain(node1, "web1") == "running"

    node1.run(f"virsh managedsave web1 && cp --archive {saved} /root/old.save")
    mcv(node1, "migrate --node node2 --discard-saved --yes web1")
    assert (reality.domains(node1), reality.domains(node2)) == (set(), {"web1"})
    mcv(node1, "migrate --node node1 web1")
    # As if the memory had lain there all the time.
    node1.run(f"cp --archive /root/old.save {saved} && systemctl restart libvirtd")

    assert "web1 on node1 is old" in node1.run("virsh start web1", check=False).stderr
    assert "web1 on node1 is old" in mcv(node1, "start web1", code=3).stderr
    assert "web1 on node1 is old" in mcv(node2, "cluster check", code=5).stdout
    assert node1.run(f"test -e {saved}").code == 0
    mcv(node1, "start web1 --discard-saved --yes")
    assert reality.domain(node1, "web1") == "running"
    assert node1.run(f"test -e {saved}", check=False).code == 1
    mcv(node1, "stop web1")
    delete(node1, "web1")


@pytest.mark.soak
def test_a_vm_needs_no_disk(pair: list[Node]) -> None:
    node1, node2 = pair

    mcv(node1, "create web1 --memory 16MiB --node node2 --network lan")
    mcv(node1, "start web1")

    assert (reality.domain(node1, "web1"), reality.domain(node2, "web1")) == ("absent", "running")
    # Nothing but the empty drive for a CD that every VM has.
    blocks = node2.run("virsh -q domblklist web1 --details").stdout
    assert [line.split() for line in blocks.splitlines()] == [["file", "cdrom", CD_TARGET, "-"]]
    assert reality.volumes(node1) == reality.volumes(node2) == set()
    assert told(node1, "info web1")["storage"] == "none"
    mcv(node1, "stop web1")
    delete(node1, "web1")
    assert reality.domains(node2) == set()


@pytest.mark.soak
def test_an_administrators_lock_holds_a_vm_as_it_is(pair: list[Node]) -> None:
    node1, node2 = pair
    create(node1, "web1")
    mcv(node2, "lock web1")
    before = reality.snapshots(pair)

    words = ("start web1", "migrate --node node2 web1", "update web1 --cpus 2", "delete web1 --yes")
    for one in words:
        assert "mcv unlock web1" in mcv(node1, one, code=3).stderr

    assert reality.snapshots(pair) == before
    mcv(node1, "unlock web1")
    mcv(node1, "start web1")
    mcv(node1, "lock web1")
    mcv(node1, "stop web1", code=3)
    assert reality.domain(node1, "web1") == "running"
    mcv(node1, "unlock web1")
    mcv(node1, "stop web1")
    delete(node1, "web1")


@pytest.mark.soak
def test_a_reset_starts_the_guest_again_and_not_its_domain(pair: list[Node]) -> None:
    node1, _ = pair
    mcv(node1, "create web1 --memory 16MiB")
    mcv(node1, "start web1")
    before = node1.run("virsh domid web1").stdout
    listener = node1.start("virsh event web1 --event reboot --timeout 30")
    time.sleep(1)

    mcv(node1, "reset web1")

    said, _ = listener.communicate(timeout=40)
    assert "event 'reboot' for domain 'web1'" in said
    assert node1.run("virsh domid web1").stdout == before
    mcv(node1, "stop web1")
    mcv(node1, "reset web1", code=3)
    delete(node1, "web1")


@pytest.mark.soak
def test_a_guest_that_does_not_listen_outlives_the_wait(pair: list[Node]) -> None:
    node1, _ = pair
    create(node1, "deaf")
    create(node1, "web1", image=guests.polite())
    mcv(node1, "start deaf web1")

    asked = mcv(node1, "shutdown deaf --wait --timeout 3", code=4)
    waited = mcv(node1, "migrate --node node2 --wait-for-shutdown --timeout 3 deaf", code=3)
    mcv(node1, "shutdown web1 --wait --timeout 30")

    assert "mcv stop deaf" in asked.stderr and "mcv stop deaf" in waited.stderr
    assert "may still end" in asked.stderr and "nobody asked it to" in waited.stderr
    assert reality.domain(node1, "deaf") == "running"
    assert reality.document(node1)["vms"]["deaf"]["node"] == "node1"
    assert reality.domain(node1, "web1") == "shut off"
    assert (role(node1, "deaf"), role(node1, "web1")) == ("Primary", "Secondary")
    mcv(node1, "stop deaf")
    assert (reality.domain(node1, "deaf"), role(node1, "deaf")) == ("shut off", "Secondary")
    delete(node1, "deaf", "web1")


@pytest.mark.soak
def test_a_definition_can_be_taken_away_and_made_again(pair: list[Node]) -> None:
    node1, _ = pair
    create(node1, "web1")
    was = node1.run("virsh dumpxml --inactive web1").stdout

    mcv(node1, "unregister web1")

    assert reality.domains(node1) == set()
    assert resource("web1") in reality.volumes(node1)
    assert "mcv register web1" in told(node1, "list")[0]["attention"]
    mcv(node1, "register web1")
    assert node1.run("virsh dumpxml --inactive web1").stdout == was
    assert told(node1, "list")[0]["attention"] is None
    delete(node1, "web1")


def test_two_disks_one_filled_from_qcow2(pair: list[Node]) -> None:
    node1, node2 = pair
    node1.put(guests.idle() + os.urandom(2 * MIB), "/root/raw.img")
    node1.run("cd /root && qemu-img convert -f raw -O qcow2 -c raw.img disk.qcow2")
    image = reality.digest(node1, "/root/raw.img", 3)

    mcv(
        node1,
        "create web1 --memory 16MiB --disk 6MiB --disk 10MiB --image /root/disk.qcow2",
    )
    rows = told(node1, "verify web1")

    minors = [
        reality.device(node1, resource("web1", disk)).removeprefix("/dev/") for disk in (1, 2)
    ]
    sizes = [int(node1.run(f"cat /sys/block/{minor}/size").stdout) * 512 for minor in minors]
    # At least what was asked for, and less than one extent more.
    assert all(
        0 <= size - asked * MIB < 4 * MIB for size, asked in zip(sizes, (6, 10), strict=True)
    )
    for node in pair:
        assert reality.digest(node, "/dev/vg0/mcv-web1-1", 3) == image
        zeros = node.run("head -c 10M /dev/zero | sha256sum").stdout.split()[0]
        assert reality.digest(node, "/dev/vg0/mcv-web1-2", 10) == zeros
    assert [(row["disk"], row["result"]) for row in rows] == [(1, "clean"), (2, "clean")]
    mcv(node1, "migrate --node node2 --start-after-migration web1")
    assert [reality.domain(node, "web1") for node in pair] == ["absent", "running"]
    assert {line for line in node2.run("cat /proc/drbd").stdout.split() if "ro:" in line} == {
        "ro:Primary/Secondary"
    }
    mcv(node1, "stop web1")
    delete(node1, "web1")


def unnumbered(step: str) -> str:
    """A step without the token of its image, which is drawn anew for each command."""
    return re.sub(r"image=\w+", "image=", step)


@pytest.mark.soak
def test_a_dry_run_shows_the_very_plan_and_changes_nothing(pair: list[Node]) -> None:
    node1, _ = pair
    node1.put(guests.idle(), "/root/web1.img")
    commands = (
        "create web1 --memory 16MiB --disk 8MiB --image /root/web1.img --network lan",
        "update web1 --memory 32MiB",
        "migrate --node node2 web1",
        "resync web1 --yes",
        "delete web1 --yes",
    )

    for words in commands:
        before = reality.snapshots(pair)
        plan = list(map(unnumbered, mcv(node1, f"{words} --dry-run").stdout.splitlines()))
        assert reality.snapshots(pair) == before
        steps = mcv(node1, f"-v {words}").stderr.splitlines()
        done = [line for line in map(unnumbered, steps) if line in plan]
        assert sorted(done) == sorted(plan) and len(plan) > 0, (plan, steps)

    assert reality.volumes(node1) == set()


LIST = "name state node nodes memory cpus storage locked attention"
INFO = f"{LIST} uuid disks networks verify vnc"
DISK = "id target size storage pool path drbd"
DRBD = "resource minor port connection role peer_role disk peer_disk done"
CLUSTER = "cluster epoch generation hash node nodes vms attention"
NODE = "name ip_address drbd_address status local version"


def has(value: dict[str, object], keys: str) -> bool:
    return set(keys.split()) <= set(value)


def test_json_has_the_keys_that_scripts_rely_on(pair: list[Node]) -> None:
    node1, _ = pair
    create(node1, "web1")

    mcv(node1, "start web1")
    listed, info = told(node1, "list"), told(node1, "info web1")
    whole, rows = told(node1, "info"), told(node1, "drbd list")

    assert has(listed[0], LIST) and has(info, INFO)
    assert has(info["disks"][0], DISK) and has(info["disks"][0]["drbd"], DRBD)
    assert has(info["networks"][0], "network mac")
    assert has(info["verify"], "result when out_of_sync blocked")
    assert has(whole, CLUSTER) and all(has(node, NODE) for node in whole["nodes"])
    assert has(rows[0], "vm disk resource minor port node out_of_sync done")
    assert all(has(side, "role disk connection") for side in rows[0]["node"].values())
    (lan,) = told(node1, "network list")
    assert (lan["name"], lan["bridge"], lan["vms"], lan["vlan"]) == ("lan", "br-lan", 1, 0)
    # And what they say is so.
    xml = node1.run("virsh dumpxml web1").stdout
    assert info["uuid"] == node1.run("virsh domuuid web1").stdout.strip()
    assert f"'{info['networks'][0]['mac']}'" in xml and f"'{info['disks'][0]['path']}'" in xml
    assert info["vnc"] and node1.run("virsh vncdisplay web1").stdout.startswith("127.0.0.1:")
    view = reality.drbd(node1, resource("web1"))
    seen = info["disks"][0]["drbd"]
    assert view and (seen["role"], seen["disk"], seen["connection"]) == (
        view.role,
        view.disk,
        view.connection,
    )
    assert (listed[0]["memory"], info["disks"][0]["size"]) == (16 * MIB, 8 * MIB)
    rows = told(node1, "verify web1")
    assert has(rows[0], "vm disk result out_of_sync seconds")
    error = mcv(node1, "start web1 nothing --json", code=3)
    assert [has(row, "vm ok message") for row in json.loads(error.stdout)] == [True, True]
    mcv(node1, "stop web1")
    delete(node1, "web1")


@pytest.mark.soak
def test_a_wait_that_is_interrupted_has_changed_nothing(pair: list[Node]) -> None:
    node1, _ = pair
    create(node1, "web1")
    mcv(node1, "start web1")
    before = reality.snapshots(pair)

    told_ = node1.run(
        "timeout --foreground --signal=INT 6 mcv migrate --node node2 --wait-for-shutdown web1",
        check=False,
    )

    assert told_.code in (124, 130), told_
    assert "Nothing was changed" in told_.stderr
    assert reality.snapshots(pair) == before
    mcv(node1, "stop web1")
    delete(node1, "web1")


def test_cron_s_verification_finds_what_is_out_of_step(pair: list[Node]) -> None:
    node1, node2 = pair
    create(node1, "web1")
    create(node2, "web2")
    reality.write_byte(node2, f"/dev/vg0/{resource('web1')}", 5 * MIB, "X")
    told_ = node1.run("grep -v '^#' /etc/cron.d/mcv").stdout
    line = next(one for one in told_.splitlines() if "mcv verify" in one)
    command = line[line.index("told=") :]  # without what ends it beside systemd, and its sleep

    mail = node1.run(f"sh -c {shlex.quote(command)}", timeout=90).stdout

    assert "web1" in mail and "mcv resync web1" in mail and "web2" not in mail
    assert told(node1, "info web1")["verify"]["blocked"]
    delete(node1, "web1", "web2")
