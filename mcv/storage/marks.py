"""The mark of a shared pool: a file with its id, by which a node knows the directory again.

A node that has not mounted the pool would take the empty directory below for it.
"""

from mcv.document.pools import Pool
from mcv.errors import McvError, Refused
from mcv.host import Host

PATIENCE = 10.0  # s that a start, or a step, waits for the directory


def why_foreign(
    host: Host, name: str, pool: Pool, patience: float = PATIENCE, oldest: float = 0.0
) -> Refused | None:
    """Why the directory here is not taken for the shared pool; None where it bears the id."""
    location = pool.nodes[host.name]

    def look() -> str:
        return host.directories.mark(location)

    try:
        seen = host.looks.at(f"{location}/.mcv-pool", look, patience, oldest)
    except McvError as error:
        return Refused(error.message, error.hint)
    if pool.id and seen == pool.id:
        return None
    return Refused(
        f"{location} on {host.name} is not the directory of pool {name}: "
        + (f"it bears the id {seen}." if seen else "it does not bear the pool's id."),
        "Is its file system mounted? See: mount",
    )


def require(host: Host, name: str) -> str:
    """The location of a shared pool here, by the proposal where there is one.

    Raises Refused where the directory does not bear the pool's id.
    """
    pool = host.both()[-1].pool(name)
    problem = why_foreign(host, name, pool)
    if problem is not None:
        raise problem
    return pool.nodes[host.name]
