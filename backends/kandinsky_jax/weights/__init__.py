"""Weights: from the checkpoint's names and axes to Flax's, and replacing them later."""
