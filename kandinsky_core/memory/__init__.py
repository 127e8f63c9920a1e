"""How much memory the weights need, and whether a device has as much."""
