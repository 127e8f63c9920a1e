"""Turns the body of an HTTP request into a checked request for pictures."""
