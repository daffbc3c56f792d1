"""What differs from what should be, on every node, and mending it."""
