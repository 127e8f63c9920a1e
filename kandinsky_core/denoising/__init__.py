"""The denoising loop, the noise that it draws, and PyTorch's random numbers."""
