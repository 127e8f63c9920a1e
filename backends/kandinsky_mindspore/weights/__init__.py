"""Brings weights from a checkpoint's names to mindone's parameters, and replaces them later."""
