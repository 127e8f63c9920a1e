"""What tensors a network has, by its config alone."""
