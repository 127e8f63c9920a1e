"""Choosing the device, and asking for its memory."""
