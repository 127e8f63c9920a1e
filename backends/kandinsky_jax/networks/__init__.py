"""The networks in Flax NNX, one file a network, channels-last."""
