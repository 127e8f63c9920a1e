"""Tokenizers, and the prompt beautifier."""
