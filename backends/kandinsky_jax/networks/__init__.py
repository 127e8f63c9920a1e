"""The networks in Flax NNX, channels-last; each network has a file of its own."""
