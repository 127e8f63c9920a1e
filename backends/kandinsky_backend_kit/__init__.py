"""Code that backends share: tiling, replaceable weights, parts of T5, memory of the host."""
