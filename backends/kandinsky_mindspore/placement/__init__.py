"""Chooses the device, and tells how much memory it has."""
