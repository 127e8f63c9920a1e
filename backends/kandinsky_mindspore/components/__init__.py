"""The networks behind core's interfaces: encoders, denoisers, the autoencoder."""
