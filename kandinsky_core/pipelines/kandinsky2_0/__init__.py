"""Kandinsky 2.0: two text encoders and a UNet, without a prior; one file a task."""
