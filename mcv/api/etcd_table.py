"""The part of the table about where the document lies."""

from mcv.api.operation import NODE, OPERATOR_ONLY, Operation, Right, admin, question, read, step
from mcv.cluster import etcd_steps, etcd_store, witness

OF_ETCD: dict[str, Operation] = {
    "cluster.store": read(etcd_store.show),
    "cluster.store_etcd": admin(etcd_store.to_etcd),
    "cluster.store_unanimous": admin(etcd_store.to_unanimous),
    "cluster.store_refresh": admin(witness.refresh),
    "cluster.witness_key": Operation(
        witness.host_key, OPERATOR_ONLY, Right.ADMIN, timeout=30, asks=True
    ),
    "etcd.lacks": question(etcd_steps.lacks, timeout=etcd_store.ASK),
    "etcd.certificate": question(etcd_steps.certificate, timeout=etcd_store.ASK),
    "etcd.set_up": step(etcd_steps.set_up, subject=NODE),
    "etcd.start": step(etcd_steps.start, subject=NODE),
    "etcd.await": step(etcd_steps.await_voters, etcd_steps.START + 30, NODE, looks=True),
    "etcd.all_hold": step(etcd_steps.all_hold, etcd_steps.HOLD + 30, NODE, looks=True),
    "etcd.discard": step(etcd_steps.discard, subject=NODE),
}
