"""Weights: from the checkpoint's names to mindone's parameters, and replacing them later."""
