"""What this node's mcvd has seen of the other nodes' leases, and has promised of them."""

import threading

from mcv.ha.at_once import at_once
from mcv.ha.env import Env
from mcv.ha.taking import Seen, Watch


class LeasesSeen:
    """One for each mcvd: who takes a lease asks here for how long it was seen unchanged.

    A daemon that begins anew has seen nothing, and waits for the whole of T.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cluster = ""
        self._watch: Watch | None = None

    def look(self, env: Env, cluster: str) -> None:
        """Read all leases of the cluster with this etcd. Raises Unknown."""
        at_once(self.watch(env, cluster).look())

    def watch(self, env: Env, cluster: str) -> Watch:
        """What was seen in the etcd of this id; another one begins without anything."""
        with self._lock:
            if self._watch is None or self._cluster != cluster:
                self._watch, self._cluster = Watch(env), cluster
            return self._watch

    def forget(self) -> None:
        """Nothing hangs on leases any more."""
        with self._lock:
            self._watch = None

    def seen(self, node: str) -> Seen | None:
        """The lease as it was read; None where there is none, or it was taken."""
        watch = self._watch
        return None if watch is None else watch.seen.get(node)

    def age(self, node: str) -> float:
        """For how many seconds it was seen unchanged; 0 without one. A promise is a change."""
        watch = self._watch
        return 0.0 if watch is None else at_once(watch.age(node))

    def has_ended(self, node: str) -> bool:
        """Whether the lease itself is evidence that the node's guests have ended."""
        watch = self._watch
        return watch is not None and at_once(watch.has_ended(node))

    def is_quiet(self, node: str) -> bool:
        """Whether it has not changed for T, whatever the watchdog proves, or there is none."""
        watch = self._watch
        return watch is not None and at_once(watch.is_quiet(node))
