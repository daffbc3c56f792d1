"""DRBD of a host as such: its secret, its service, files that are not mcv's. Pure."""

from collections.abc import Iterator

from mcv.check.finding import Finding
from mcv.check.inventory import Inventory
from mcv.document.model import Cluster
from mcv.drbd import secret
from mcv.rules.finding import Severity


def judge(cluster: Cluster, inventory: Inventory) -> Iterator[Finding]:
    """The secret, the host's own services and files: of a node of a cluster with DRBD."""
    if not inventory.secret:
        yield Finding(
            severity=Severity.ERROR,
            node=inventory.node,
            subject="DRBD secret",
            message=f"{inventory.node} does not have the cluster's DRBD secret.",
            hint=f"Copy pki/{secret.file_name(cluster.drbd.secret_id)}, below "
            "/var/lib/mcv/HOSTNAME, from another node, mode 0600.",
        )
    if inventory.drbd_at_boot:
        yield Finding(
            severity=Severity.WARNING,
            node=inventory.node,
            subject="drbd.service",
            message=f"drbd.service is enabled on {inventory.node}; "
            "mcvd brings resources up by itself.",
            hint=f"On {inventory.node}: systemctl disable drbd.service",
        )
    if inventory.secret_seen_by:
        yield Finding(
            severity=Severity.NOTE,
            node=inventory.node,
            subject="DRBD secret",
            message=f"Users of {inventory.node} ({', '.join(inventory.secret_seen_by)}) can see "
            "the DRBD secret while drbdsetup runs: it stands in its arguments.",
            hint="SECURITY.md says what it is good for; /proc hides arguments with hidepid=2.",
        )
    if inventory.drbd_complaint and not _is_of_mcvs_file(inventory):
        yield Finding(
            severity=Severity.ERROR,
            node=inventory.node,
            subject="/etc/drbd.d",
            message=f"drbdadm cannot read its configuration on {inventory.node}: "
            f"{inventory.drbd_complaint}",
            hint="Mend the file that it names, or move it away. mcv's calls do not read it; the "
            "administrator's and other services' do.",
        )


def _is_of_mcvs_file(inventory: Inventory) -> bool:
    """Whether drbdadm complains of a file of mcv's, which has a finding of its own."""
    return any(
        file.ours and f"/{name}.res" in inventory.drbd_complaint
        for name, file in inventory.files.items()
    )
