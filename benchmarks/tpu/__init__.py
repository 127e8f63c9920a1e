"""Compiles the library's programs for TPUs on a CPU, and reads what the compiler made of them."""
