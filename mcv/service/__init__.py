"""Services: an address with what runs where it is, on the node that owns it."""
