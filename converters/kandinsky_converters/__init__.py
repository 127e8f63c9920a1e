"""Names and layouts of published checkpoints, and how each backend's differ."""
