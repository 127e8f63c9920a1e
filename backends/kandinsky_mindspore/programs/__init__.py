"""Compiling networks with MindSpore's graph mode."""
