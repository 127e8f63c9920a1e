"""Kernels for a CPU in place of MindSpore's missing, inexact or slow ones."""
