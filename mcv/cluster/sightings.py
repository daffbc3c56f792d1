"""Members that fall silent, and that are heard again, told as events."""

from mcv.host import Host
from mcv.system.observations import ago


def look(host: Host) -> None:
    """One round of the loop: compare which online members are heard with the round before.

    A member that was not heard since this daemon began is not lost by it.
    """
    others = [name for name in host.read().online if name != host.name]
    for name in set(host.heard_members) - set(others):
        del host.heard_members[name]
    for name in others:
        is_heard = host.observations.heard_lately(name)
        was_heard = host.heard_members.get(name)
        if is_heard or was_heard is not None:
            host.heard_members[name] = is_heard
        if was_heard and not is_heard:
            host.tell("member lost", name, f"last heard {ago(host.observations.last_heard(name))}")
        elif is_heard and was_heard is False:
            host.tell("member back", name)
