"""What a daemon requires of its document before it starts."""

import logging

from mcv.document.initial import alone
from mcv.document.names import problem_with_node_name
from mcv.document.store import Store
from mcv.errors import McvError, Refused
from mcv.settings import Settings

log = logging.getLogger(__name__)


def opened(settings: Settings, certificate: str) -> Store:
    """This node's store, with a whole document.

    Effect: a host without a document becomes a cluster of one; a document that was edited by
    hand is replaced by the newest good generation where there are other members. A document
    or a proposal that cannot be read is left as it is: the store serves its history. Errors:
    Refused, also for a new node's name that is none; Unreadable where there is no history to serve.
    """
    store = Store(settings.state, settings.history)
    if not store.exists():
        if problem := problem_with_node_name(settings.node):
            raise problem
        store.begin(alone(settings, certificate))
    if damage := store.inspect():
        _require_history(store, damage)
        log.error("%s This node takes part in nothing until that is mended.", damage)
        return store
    _require_whole(settings, store)
    return store


def _require_history(store: Store, damage: McvError) -> None:
    """Raise the damage where no generation is left in the history that could be served."""
    try:
        store.read()
    except McvError:
        raise damage from None


def _require_whole(settings: Settings, store: Store) -> None:
    """Raise Refused for an edited document that no other member can complete.

    With other members the newest good generation is taken: they hold the later ones, and
    nothing is started until all of them have answered. A lone node has nobody to ask, so
    the operator decides.
    """
    fault = store.fault()
    if fault is None:
        return
    good = store.newest_good()
    if good is not None and set(good[0].nodes) - {settings.node}:
        log.error("%s The newest good generation is taken; the others have the rest.", fault)
        store.fall_back(good[0])
        return
    way_out = f"The newest good generation: cp {good[1]} {store.path}" if good else ""
    raise Refused(fault.message, fault.hint or way_out)
