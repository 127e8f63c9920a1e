"""Measures speed and memory beside PyTorch diffusers: `python -m benchmarks`."""
