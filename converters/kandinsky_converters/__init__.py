"""Converts checkpoints between the layouts of PyTorch, JAX, MindSpore and ai-forever's files."""
