"""The part of the table about where the document lies."""

from mcv.api import consensus_calls
from mcv.api.operation import (
    NODE,
    OPERATOR_ONLY,
    PEER_ONLY,
    Operation,
    Right,
    admin,
    question,
    read,
    step,
)
from mcv.cluster import etcd_follow, etcd_lost, etcd_steps, etcd_store, witness, witness_voting

OF_ETCD: dict[str, Operation] = {
    "cluster.store": read(etcd_store.show),
    "cluster.store_etcd": admin(etcd_store.to_etcd),
    "cluster.store_unanimous": admin(etcd_store.to_unanimous),
    "cluster.store_lost": admin(etcd_lost.to_unanimous),
    "cluster.store_refresh": admin(witness.refresh),
    "cluster.witness_remove": admin(witness_voting.remove),
    "cluster.witness_key": Operation(
        witness.host_key, OPERATOR_ONLY, Right.ADMIN, timeout=30, asks=True
    ),
    "etcd.take_shown": question(consensus_calls.take_shown, timeout=etcd_lost.ASK),
    "etcd.lacks": question(etcd_steps.lacks, timeout=etcd_store.ASK),
    "etcd.certificate": question(etcd_steps.certificate, timeout=etcd_store.ASK),
    "etcd.set_up": step(etcd_steps.set_up, subject=NODE),
    "etcd.start": step(etcd_steps.start, subject=NODE),
    "etcd.await": step(etcd_steps.await_voters, etcd_steps.START + 30, NODE, looks=True),
    "etcd.all_hold": step(etcd_steps.all_hold, etcd_steps.HOLD + 30, NODE, looks=True),
    "etcd.keep": step(etcd_follow.keep, subject=NODE),
    "etcd.trust": step(etcd_follow.trust, subject=NODE),
    "etcd.admit": step(etcd_follow.admit, subject=NODE),
    "etcd.promote": step(etcd_follow.promote, subject=NODE),
    "etcd.expel": step(etcd_follow.expel, subject=NODE),
    "etcd.step_aside": step(etcd_follow.step_aside, subject=NODE),
    "etcd.readdress": step(etcd_follow.readdress, subject=NODE),
    "etcd.settled": question(etcd_follow.settled),
    "etcd.follow": Operation(
        etcd_follow.follow, PEER_ONLY, timeout=etcd_follow.FOLLOW, sender=True
    ),
    "etcd.begin": Operation(etcd_follow.begin, PEER_ONLY, timeout=etcd_follow.FOLLOW, sender=True),
    "witness.trust": step(witness_voting.trust, subject=NODE),
    "witness.admit": step(witness_voting.admit, subject=NODE),
    "witness.begin": step(witness_voting.begin, subject=NODE),
    "witness.promote": step(witness_voting.promote, subject=NODE),
    "witness.expel": step(witness_voting.expel, subject=NODE),
    "witness.leave": step(witness_voting.leave, subject=NODE),
    "etcd.discard": step(etcd_steps.discard, subject=NODE),
}
