"""mindone's networks, and what this library adds to them."""
