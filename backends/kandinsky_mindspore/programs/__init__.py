"""Compiles networks with MindSpore's graph mode."""
