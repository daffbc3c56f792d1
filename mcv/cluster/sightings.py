"""Members that fall silent, and that are heard again: told as events, looked for on all paths."""

from mcv.cluster import members
from mcv.host import Host
from mcv.system.fanout import ask_all
from mcv.system.observations import ago

PATHS = 12.0  # seconds for all paths to a silent member


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


def last_seen(host: Host, names: list[str]) -> list[str]:
    """When each node was last heard here, in words: shown before somebody is called dead."""
    said = [f"{name} was last heard {ago(host.observations.last_heard(name))}." for name in names]
    others = [name for name in host.read().online if name not in (host.name, *names)]
    said += [f"{name} was last heard {ago(host.observations.last_heard(name))}." for name in others]
    if any(host.observations.was_away_since(name) for name in names):
        said.append(f"{host.name} itself was down since: it does not know what was done meanwhile.")
    return said


def watch_paths(host: Host) -> None:
    """One round of the loop: whether hosts of silent members still answer on another path.

    The answer decides whether an operator is told of a declaration of death at all.
    """
    silent = [
        name
        for name in host.read().online
        if name != host.name and not host.observations.was_heard_lately(name)
    ]

    def look(name: str, _: str, timeout: float) -> bool:
        return members.is_alive(host, name)

    for name, answer in ask_all(look, silent, "", PATHS).items():
        # What is not known in time is no silence: nothing ends it but a look that has ended.
        if isinstance(answer, bool):
            host.observations.note_paths(name, answer)
