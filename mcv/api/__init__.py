"""How a call is served: the table of operations, and the way to them."""
