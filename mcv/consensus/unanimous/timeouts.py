"""How many seconds each side of the agreement waits for another."""

LOOK = 3.0  # that a member has to say what it holds
ACCEPT = 6.0  # that it has to write a proposal down
SETTLE = 2.0  # that the coordinator waits for members that it told
OFFER = 25.0  # that the proposer waits for the coordinator
PATIENCE = 30.0  # of looking again before the proposer gives up
