"""How many seconds each side of unanimous agreement waits for another."""

POLL = 3.0  # for a member's answer to a poll or a fetch
ACCEPT = 6.0  # for a member to write a proposal durably
COMMIT = 2.0  # for members that the coordinator tells of a commit
PROPOSE = 25.0  # for the coordinator's answer to a proposal
RETRY = 30.0  # during which a proposer builds its change anew after LookAgain
