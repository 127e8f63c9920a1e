"""The networks as core sees them: encoders, denoisers, the autoencoder."""
