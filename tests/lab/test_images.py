"""Images on nodes: added from a file and from a URL, copied, used on the node that lacked them."""

import hashlib

from tests.lab import Node
from tests.lab.cluster import mcv, told

IMAGES = "/var/lib/mcv/images"
GUEST = b"\x55\xaa" * 4096 + bytes(4 * 1024**2)
CD = bytes(32 * 1024) + b"\1CD001" + bytes(2 * 1024**2)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def of_image(node: Node, name: str) -> dict[str, str]:
    """The state of an image by node."""
    (row,) = (row for row in told(node, "image list") if row["name"] == name)
    return {key: there["state"] for key, there in row["nodes"].items()}


def test_images_come_from_files_and_urls_to_the_node_that_needs_them(pair: list[Node]) -> None:
    node1, node2 = pair
    node1.put(GUEST, "/root/guest.raw")
    node2.put(CD, "/srv/images/netinst.iso")
    node1.run("zstd -q /root/guest.raw -o /root/guest.zst")

    # A file, packed, and a copy at once.
    mcv(node1, f"image add guest /root/guest.raw --sha256 {digest(GUEST)}")
    mcv(node1, "image add packed /root/guest.zst --on node2")
    assert of_image(node1, "guest") == {"node1": "ready"}
    assert of_image(node2, "packed") == {"node1": "ready", "node2": "ready"}
    sums = [node.run(f"sha256sum {IMAGES}/packed-*").stdout.split()[0] for node in pair]
    assert sums == [digest(GUEST)] * 2

    # A URL: an address of the cluster is refused, unless it is meant.
    node2.run(
        "systemd-run --unit=images --working-directory=/srv/images python3 -m http.server 8000"
    )
    try:
        url = f"http://{told(node1, 'info')['nodes'][1]['ip_address']}:8000"
        refused = mcv(node1, f"image add netinst {url}/netinst.iso", 3)
        assert "an address of this cluster" in refused.stderr
        wrong = f"image add netinst {url}/netinst.iso --allow-private --sha256 {'0' * 64}"
        mcv(node1, wrong, 3)
        mcv(node1, f"image add netinst {url}/netinst.iso --allow-private")
    finally:
        node2.run("systemctl stop images", check=False)
    assert node1.run(f"ls {IMAGES}").stdout.count("netinst") == 1

    # A VM of the other node gets both there.
    mcv(node2, "create web1 --memory 64MiB --storage file --image guest --iso netinst")
    assert of_image(node1, "guest") == of_image(node1, "netinst")
    assert of_image(node1, "guest") == {"node1": "ready", "node2": "ready"}
    (disk,) = told(node2, "info web1")["disks"]
    node2.run(f"qemu-img convert -O raw {disk['path']} /root/filled")
    filled = node2.run(f"head -c {len(GUEST)} /root/filled | sha256sum").stdout.split()[0]
    assert filled == digest(GUEST)
    mcv(node2, "start web1")
    assert "netinst" in node2.run("virsh domblklist web1").stdout
    # libvirt gives the file to QEMU's user; mcv reads it nevertheless, and sees no change.
    mcv(node1, "image delete netinst --yes", 3)
    mcv(node2, "stop web1")
    mcv(node2, "start web1")
    mcv(node2, "stop web1")

    # What was changed behind mcv's back is used no more, and copied anew.
    node2.run(f"chmod u+w {IMAGES}/netinst-*; printf x >> $(ls {IMAGES}/netinst-*)")
    assert "was changed" in mcv(node2, "start web1", 3).stderr
    mcv(node1, "image sync netinst --on node2")
    mcv(node2, "start web1")
    mcv(node2, "stop web1")
    mcv(node2, "delete web1 --yes")
    for name in ("guest", "packed", "netinst"):
        mcv(node1, f"image delete {name} --yes")
    assert [node.run(f"ls {IMAGES}").stdout for node in pair] == ["", ""]
