"""The program that DRBD's kernel module calls: an armed node decides without any other import."""

import os
import sys
from pathlib import Path

from mcv.drbd import armed_handler, pair_handler
from mcv.ha import handler_facts
from mcv.ha.peer_loss import REFUSE


def main() -> None:
    """Called as `mcv-drbd-handler KIND STATE-DIRECTORY`; the resource is in the environment."""
    kind, resource = "".join(sys.argv[1:2]), os.environ.get("DRBD_RESOURCE", "")
    if kind == "fence-peer" and len(sys.argv) > 2 and resource and "/" not in resource:
        state = Path(sys.argv[2])
        try:
            facts = handler_facts.read(state)
            if facts is not None and facts.decides(resource):
                sys.exit(pair_handler.answer(resource, state, facts))
        except (OSError, ValueError) as error:
            armed_handler.say(f"fence-peer {resource}: {error}")
            sys.exit(REFUSE)
    from mcv.drbd import handler

    handler.main()


if __name__ == "__main__":
    main()
