"""The interface between core and a backend: the protocols that both sides keep to."""
