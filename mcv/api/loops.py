"""What a daemon does by itself, again and again: a table of loops, and what runs it."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mcv import wanted
from mcv.cluster import (
    addresses,
    etcd_follow,
    etcd_steps,
    failsafe_rounds,
    fence_keeping,
    ha_rounds,
    lease_keeping,
    members,
    sightings,
    upgrade,
    waking,
)
from mcv.drbd import (
    enable,
    handler_file,
    left_replicas,
    lost_peers,
    roles,
    sizing,
    stale_marks,
    verification_age,
    verification_results,
)
from mcv.errors import McvError
from mcv.host import Host
from mcv.network import networks
from mcv.recovery import journal_recovery
from mcv.service import elsewhere, watched
from mcv.storage import copy_target
from mcv.vm import (
    arrivals,
    autostart,
    disk_closing,
    disk_mirror,
    disk_remove,
    saved_states,
    stray_copies,
)

log = logging.getLogger("mcvd")

LEAST_PAUSE = 0.2  # s between two rounds, however long the first took


@dataclass(frozen=True)
class Loop:
    """A function that is called every `period` seconds, in a thread of its own.

    `wait` waits for the next call instead: it is told when the last one began, by
    time.monotonic().
    """

    name: str
    period: float
    function: Callable[[Host], object]
    wait: Callable[[Host, float], object] | None = None


def look_after_cluster(host: Host) -> None:
    """Poll the members; come back, or follow what the document says of this node.

    A part that fails, since a tool of this host hangs or a member is silent, holds up no other.
    """
    host.consensus.poll()
    _attempt(host, _follow_document)
    _attempt(host, etcd_steps.tidy)
    if host.consensus.in_contact:
        _attempt(host, upgrade.raise_schema)
        _attempt(host, addresses.follow_conf)
        _attempt(host, waking.tell_macs)
        _attempt(host, verification_results.conclude)
        _attempt(host, sizing.write_real_sizes)
        _attempt(host, enable.adjust)
        _attempt(host, wanted.write_noted)
    elif not host.is_leaving:
        _attempt(host, members.come_back)
    _keep_observations(host)


def _attempt(host: Host, part: Callable[[Host], object]) -> None:
    try:
        part(host)
    except (McvError, OSError) as error:
        log.warning("loop cluster, %s: %s", part.__name__.strip("_").replace("_", " "), error)


def _keep_observations(host: Host) -> None:
    """Write down what was seen of the members and replicas that a document still has."""
    documents = host.both()
    host.observations.forget(
        {disk.resource for cluster in documents for _, disk in cluster.replicated()},
        {name for cluster in documents for name in cluster.nodes},
    )
    host.observations.save()


def _follow_document(host: Host) -> None:
    """Pause copies that lost, and renew marks: once for each document.

    As soon as a member has confirmed the document.
    """
    hash_ = host.consensus.committed()[1]
    if host.stray_copies_paused_at != hash_ and host.consensus.heard:
        is_settled = stray_copies.is_settled(host)
        saved_states.renew_marks(host)
        # What could not be paused is tried again: a copy that lost must not run on.
        if is_settled:
            host.stray_copies_paused_at = hash_


# The first loop is woken by every commit.
LOOPS = (
    Loop("cluster", 3.0, look_after_cluster),
    Loop("lease", 2.0, lease_keeping.follow),
    Loop("leases", 2.0, failsafe_rounds.look),
    Loop("promises", 1.0, failsafe_rounds.extend),
    Loop("decisions", 0.0, ha_rounds.one_round, ha_rounds.await_next),
    Loop("domains", 2.0, disk_closing.reconcile),
    Loop("leaving disks", 5.0, disk_remove.reconcile),
    Loop("mirrored disks", 5.0, disk_mirror.reconcile),
    Loop("autostart", 4.0, autostart.look_after),
    Loop("replicas", 3.0, lost_peers.look_after),
    Loop("left replicas", 10.0, left_replicas.look_after),
    Loop("verifications", 3600.0, verification_age.look_back),
    Loop("networks", 5.0, networks.look_after),
    Loop("journal", 3.0, journal_recovery.resume_all),
    Loop("paths", 1.0, sightings.watch_paths),
    Loop("sightings", 3.0, sightings.look),
    Loop("arrivals", 30.0, arrivals.forget_over),
    Loop("etcd", 5.0, etcd_follow.look_after),
    Loop("etcd's room", 60.0, etcd_steps.keep_room),
    Loop("marks", 2.0, stale_marks.follow),
    Loop("handler's file", 2.0, handler_file.write),
    Loop("services", watched.PERIOD, watched.look_after),
    Loop("services of others", elsewhere.PERIOD, elsewhere.look),
    Loop("fence devices", 15.0, fence_keeping.look_after),
    Loop("starts", 5.0, lambda host: host.domains.starts.forget_ended()),
    Loop("copies", 30.0, copy_target.clear_over),
)


# What is done once, before the loops: they begin whatever comes of it.
BRING_UP = Loop("bring DRBD up", 0.0, roles.bring_up)


def one_round(host: Host, loop: Loop) -> None:
    """Call a loop's function, except on a node that takes part in nothing."""
    if not host.consensus.damage:
        loop.function(host)


class Loops:
    """The loops of one daemon, from `run` until `stopping` is set."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._committed = threading.Event()
        self.stopping = threading.Event()

    def wake(self) -> None:
        """Begin the next round of the first loop at once."""
        self._committed.set()

    def run(self) -> None:
        """Bring DRBD's resources up, then run every loop; returns when the daemon stops."""
        self._round(BRING_UP)
        first, *others = LOOPS
        for loop in others:
            arguments = (loop, threading.Event())
            threading.Thread(target=self._repeat, args=arguments, daemon=True).start()
        self._repeat(first, self._committed)

    def _repeat(self, loop: Loop, wake: threading.Event) -> None:
        while not self.stopping.is_set():
            began = time.monotonic()
            self._round(loop)
            if loop.wait is not None:
                loop.wait(self._host, began)
            wake.wait(max(LEAST_PAUSE, loop.period - (time.monotonic() - began)))
            wake.clear()

    def _round(self, loop: Loop) -> None:
        """One round of a loop; an error of it ends no loop."""
        try:
            one_round(self._host, loop)
        except (McvError, OSError) as error:
            log.warning("loop %s: %s", loop.name, error)
        except Exception:
            log.exception("loop %s", loop.name)
