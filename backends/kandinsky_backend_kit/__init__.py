"""What every backend builds on: the guided step, tiling, weights, T5 in parts, host memory."""
