"""How many seconds each side of the agreement waits for another."""

LOOK = 3.0  # that a member has to say what it holds
ACCEPT = 6.0  # that it has to write a proposal down
SETTLE = 2.0  # that the keeper waits for members that it told
OFFER = 25.0  # that the asker waits for the keeper
PATIENCE = 30.0  # of looking again before the asker gives up
