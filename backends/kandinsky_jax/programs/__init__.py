"""Compiling networks ahead of time, and keeping what was compiled."""
