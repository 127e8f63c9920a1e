"""The frameworks that run the networks, one package each."""
