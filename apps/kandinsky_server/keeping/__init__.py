"""Keeps jobs and their pictures, so that a restart loses none."""
