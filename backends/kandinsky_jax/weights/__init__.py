"""Brings weights from a checkpoint's names and axes to Flax's, and replaces them later."""
