"""What every backend builds on: tiling, replaceable weights, parts of T5, memory of the host."""
