"""The IP addresses of this host's interfaces."""

import json

from mcv.errors import CommandFailed
from mcv.system.process import Run, run


def own(run: Run = run) -> list[str]:
    """Every address that this host has. Raises CommandFailed where it does not tell."""
    text = run("ip", "-json", "address", "show", timeout=5)
    try:
        links = json.loads(text)
        return [str(entry["local"]) for link in links for entry in link.get("addr_info", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandFailed("`ip address` printed no addresses.") from error
