"""Tables of the tensors that each network has, worked out from its config alone."""
