"""The denoising loop, its noise, and PyTorch's random numbers."""
