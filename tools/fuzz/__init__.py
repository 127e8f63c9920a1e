"""Gives damaged files of every format to this library's readers, and checks what they do."""
