"""The options that all picture-making commands share."""

from __future__ import annotations

import argparse
from typing import Any

from kandinsky_cli.loudness import add_loudness_options
from kandinsky_cli.option_types import path, seed
from kandinsky_cli.upscaling import add_upscale_options

__all__ = [
    "PROGRAM",
    "TWO_STAGES",
    "add_command",
    "add_model_options",
    "add_picture_options",
    "add_strength",
]

PROGRAM = "kandinsky"  # metadata holds it with a command: that command makes the picture again


TWO_STAGES = {"steps": 100, "guidance_scale": 4.0, "prior_steps": 25, "prior_guidance_scale": 4.0}
"""Defaults of the tasks that only Kandinsky 2 does; for other tasks the pipelines have defaults."""


def add_command(
    commands: Any, name: str, words: str, summary: str, description: str
) -> argparse.ArgumentParser:
    """Add a command that makes pictures; `words` are what its usage shows before the options."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        # argparse's usage shows options first; one with several values would take the words there
        usage=f"kandinsky {name} {words} [options]",
        help=summary,
        description=f"{description} The file of each picture also holds the settings that make it "
        "again.",
    )
    return parser


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all tasks: model, size, steps, guidance, seeds, output."""
    add_model_options(parser)
    parser.add_argument("--negative-prompt", metavar="TEXT", help="what the picture shall not show")
    parser.add_argument("--height", type=int, metavar="PX", help="height (default: the model's)")
    parser.add_argument("--width", type=int, metavar="PX", help="width (default: the model's)")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="steps of the decoder (100; fewer for Kandinsky 3)"
    )
    parser.add_argument(
        "--guidance-scale", type=float, metavar="X", help="decoder's guidance (4; Kandinsky 3: 3)"
    )
    parser.add_argument(
        "--lora",
        metavar="PATH[:WEIGHT]",
        help="a LoRA for the UNet or the prior and its weight (1); several with commas between",
    )
    parser.add_argument(
        "--scheduler",
        metavar="NAME",
        help="scheduler of the decoder: ddim, dpm++, unipc and others (default: the model's)",
    )
    parser.add_argument("--prior-steps", type=int, metavar="N", help="steps of the prior (25)")
    parser.add_argument(
        "--prior-guidance-scale", type=float, metavar="X", help="guidance of the prior (default: 4)"
    )
    parser.add_argument(
        "--text-encoder-loading",
        metavar="WHEN",
        help="when Kandinsky 3's text encoder is loaded: on_demand (default), resident, streamed",
    )
    parser.add_argument(
        "-s",
        "--seed",
        type=seed,
        nargs="+",
        metavar="N",
        help="one seed for each picture, or the first of consecutive ones; from -2**63 to "
        "2**64 - 1, as in PyTorch (default: random)",
    )
    parser.add_argument(
        "-n",
        "--num-images",
        type=int,
        metavar="N",
        help="pictures of each prompt (default: one for each seed)",
    )
    add_upscale_options(parser)
    _add_output_options(parser)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        metavar="PATH",
        help="folder, or .png, .jpg or .webp file (default: PNG files in the current folder)",
    )
    parser.add_argument(
        "--quality",
        type=int,
        metavar="N",
        help="quality of a .jpg or .webp file, from 1 to 100 (default: 95)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the file that --output names"
    )
    parser.add_argument(
        "--preview-every",
        type=int,
        metavar="N",
        help="show the picture so far in a small file beside the output, after every N steps of "
        "the decoder; each preview takes as long as the decoding of a picture",
    )
    parser.add_argument(
        "--preview-file",
        type=path,
        metavar="PATH",
        help="the file of the previews (default: NAME.preview.png)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_loudness_options(parser)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model runs where."""
    parser.add_argument(
        "--model",
        default="shapes",
        help="`shapes` (embedded, the default), a folder, or a hub id such as "
        "kandinsky-community/kandinsky-2-2-decoder",
    )
    parser.add_argument(
        "--prior", metavar="MODEL", help="the prior to use, where the model names none"
    )
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument(
        "--dtype",
        default="float32",
        help="dtype to compute in: float32 (default), bfloat16 or float16",
    )
    parser.add_argument(
        "--quantize",
        metavar="FORM",
        help="int8 keeps the weights of UNets and T5 in 8 bits, with jax (default: in the dtype)",
    )
    parser.add_argument(
        "--device", help="device to run on: cpu, gpu, gpu:1 or tpu (default: the backend's choice)"
    )
    parser.add_argument(
        "--mesh",
        metavar="SIZES",
        help="with jax: how many devices share the work, data=4,model=2 for example",
    )
    parser.add_argument(
        "--offload",
        action="store_true",
        default=None,
        help="keep weights in host memory and only one network at a time on the device",
    )
    parser.add_argument(
        "--movq-tile-size",
        type=int,
        metavar="PX",
        help="decode larger pictures in tiles of this size, for less memory (default: whole)",
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    parser.add_argument(
        "--prior-revision", metavar="REVISION", help="branch, tag or commit of the prior on the hub"
    )
    parser.add_argument("--variant", help="infix of the weight files, fp16 for example")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use cached files, never the network"
    )


def add_strength(parser: argparse.ArgumentParser, default: float) -> None:
    """Add the option `--strength` of the tasks that begin with a picture."""
    parser.add_argument(
        "--strength",
        type=float,
        default=default,
        metavar="X",
        help="how far the result may move away from --image, above 0 and up to 1 "
        f"(default: {default:g})",
    )
