"""What memory the weights need, and whether a device has it."""
