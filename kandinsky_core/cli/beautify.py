"""`kandinsky beautify`: its options."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "beautify",
        usage="kandinsky beautify PROMPT [options]",
        help="expand a prompt with a language model, as Kandinsky 3.1 does",
        description="Expand a short prompt with a language model and print the result on one line. "
        "It needs PyTorch and transformers: pip install 'kandinsky-anywhere[beautify]'.",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="the prompt to expand")
    # The defaults are those of PromptBeautifier, which is not imported for --help.
    parser.add_argument(
        "--model",
        help="a causal language model: a folder or a hub id (Intel/neural-chat-7b-v3-1, 14 GB)",
    )
    parser.add_argument(
        "--max-words", type=int, metavar="N", help="cut a longer answer after so many words (90)"
    )
    parser.add_argument(
        "--device", help="PyTorch's: cpu, cuda, cuda:1 (default: an accelerator where there is one)"
    )
    parser.add_argument("--dtype", help="float32, bfloat16 or float16 (default: as stored)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
