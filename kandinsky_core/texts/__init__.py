"""From a prompt to token ids: tokenizers, and the prompt beautifier."""
