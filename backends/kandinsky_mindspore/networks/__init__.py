"""Builds mindone's networks, and mends or replaces parts of them."""
