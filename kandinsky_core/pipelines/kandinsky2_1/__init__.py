"""Kandinsky 2.1."""
