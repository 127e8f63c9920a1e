"""Compiles networks ahead of time, and keeps the compiled programs."""
