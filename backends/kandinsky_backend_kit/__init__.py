"""Code that all backends share: the guided step, tiling, replaceable weights, T5, host memory."""
