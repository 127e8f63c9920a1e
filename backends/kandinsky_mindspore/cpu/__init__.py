"""Kernels that MindSpore lacks on a CPU, or has inexact or slow ones of."""
