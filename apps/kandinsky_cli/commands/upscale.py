"""The command `kandinsky upscale`, which makes pictures larger."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_cli.loudness import add_loudness_options
from kandinsky_cli.option_types import path, seed
from kandinsky_cli.picture_options import PROGRAM, add_command

if TYPE_CHECKING:
    from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline

__all__ = ["add_parser", "load", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "upscale",
        "IMAGE...",
        "make pictures larger",
        "Make pictures larger with KandiSuperRes. What the file of a picture says of how it was "
        "made goes along.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="pictures' paths or URLs")
    parser.add_argument(
        "--model",
        default="shapes",
        help="`shapes` (embedded, the default, for its own pictures), or an upscaler's folder or "
        "hub id, ai-forever/KandiSuperRes for example",
    )
    parser.add_argument(
        "--scale", type=int, metavar="N", help="2 or 4, where the model has both (default: 4)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="denoising steps (default: 5)")
    parser.add_argument("-s", "--seed", type=seed, metavar="N", help="seed (default: 0)")
    _add_window_options(parser)
    _add_place_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        metavar="PATH",
        help="folder, or .png, .jpg or .webp file (default: NAME-x4.png in the current folder)",
    )
    parser.add_argument("--quality", type=int, metavar="N", help="quality of a .jpg or .webp file")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_loudness_options(parser)


def _add_window_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--window-size",
        type=int,
        metavar="PX",
        help="side of what the network sees at once; less needs less memory (default: 1024)",
    )
    parser.add_argument(
        "--window-stride", type=int, metavar="PX", help="distance of windows (the model's)"
    )
    parser.add_argument(
        "--paste-exact", action="store_true", help="make the result shrink to the small picture"
    )


def _add_place_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--device", help="device to run on (default: the backend's choice)")
    parser.add_argument("--dtype", default="float32", help="float32 (default), bfloat16 or float16")
    parser.add_argument(
        "--quantize",
        metavar="FORM",
        help="int8 keeps the weights of the UNet in 8 bits, with jax (default: in the dtype)",
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use cached files, never the network"
    )


def load(options: argparse.Namespace) -> KandinskySuperResPipeline:
    """Load the upscaler that the options name.

    Raises:
        KandinskyError: See `KandinskySuperResPipeline.from_pretrained`.
    """
    from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline

    return KandinskySuperResPipeline.from_pretrained(options.model, **_given(options, _LOADING))


def run(options: argparse.Namespace) -> None:
    """Enlarge the pictures, write them, and print where they are.

    Raises:
        KandinskyError: A picture, an option or the model is not usable.
    """
    import time

    from kandinsky_cli.console import write_json, write_line
    from kandinsky_cli.make_pictures import quiet
    from kandinsky_core.pictures.metadata import save_image

    _check_numbers(options)
    pictures = _open(options.images, options.scale or 2)
    files = _files(options)
    pipeline = load(options)
    if options.scale is None:  # names of files say it
        options.scale = pipeline.unet.config.scale
        files = _files(options)
    pipeline.set_progress_bar_config(disable=quiet(options))
    call = _given(options, _CALL) | {"paste_exact": options.paste_exact}
    if "steps" in call:
        call["num_inference_steps"] = call.pop("steps")
    written = []
    for (image, record), file in zip(pictures, files, strict=True):
        start = time.perf_counter()
        output: Any = pipeline(image, **call)
        metadata = _metadata(output.metadata[0], record)
        save_image(output.images[0], file, metadata, quality=options.quality)
        written.append({"path": str(file), **metadata})
        if not options.json:
            width, height = output.images[0].size
            seconds = time.perf_counter() - start
            line = f"{file}  {width}x{height}, {metadata['backend']} on {metadata['device']}"
            write_line(str(file) if options.quiet else f"{line}, {seconds:.1f} s")
    if options.json:
        write_json({"images": written})


def _check_numbers(options: argparse.Namespace) -> None:
    from kandinsky_core.errors import InvalidInputError
    from kandinsky_core.seam.dtypes import dtype_name
    from kandinsky_core.seam.quantization import quantization_name
    from kandinsky_core.validation import positive_int

    if options.scale not in (None, 2, 4):
        raise InvalidInputError(f"--scale {options.scale}: give 2 or 4, or leave it out")
    for name in ("steps", "window_size", "window_stride"):
        if getattr(options, name) is not None:
            positive_int(f"--{name.replace('_', '-')}", getattr(options, name))
    dtype_name(options.dtype)
    if options.quantize is not None:
        quantization_name(options.quantize)


_LOADING = ("scale", "backend", "device", "dtype", "quantize", "revision", "local_files_only")
_CALL = ("steps", "seed", "window_size", "window_stride")


def _given(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    values = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _open(images: Sequence[str], scale: int) -> list[tuple[Any, dict[str, str]]]:
    """Open the pictures, each with the record of its file; transparency is kept.

    One that is too large to be enlarged is refused before its pixels are decoded.
    """
    from kandinsky_core.errors import DeviceMemoryError, InvalidInputError
    from kandinsky_core.files import why_not
    from kandinsky_core.pictures.metadata import file_record
    from kandinsky_core.pictures.opening import load_within
    from kandinsky_core.pipelines.super_resolution.room import require_room_to_enlarge

    def check_size(width: int, height: int) -> None:
        require_room_to_enlarge(width, height, scale)

    found = []
    for name in images:
        try:
            found.append((load_within(name, check_size), file_record(name)))
        except (InvalidInputError, OSError) as error:
            raise InvalidInputError(f"IMAGE: {why_not(error)}") from error
        except DeviceMemoryError as error:
            raise DeviceMemoryError(f"IMAGE {name}: {error}") from error
    return found


def _files(options: argparse.Namespace) -> list[Path]:
    """Choose the files to write, before the model is loaded.

    Raises:
        InvalidInputError: A file is there already, two pictures would be one file, or the folder
            cannot be written.
    """
    from kandinsky_cli.output_paths import refuse_existing, try_folder
    from kandinsky_core.errors import InvalidInputError
    from kandinsky_core.pictures.formats import check_quality, picture_format

    output: Path | None = options.output
    named = output is not None and bool(output.suffix) and not output.is_dir()
    if output is not None and named:
        if len(options.images) > 1:
            raise InvalidInputError(
                f"--output {output}: {len(options.images)} pictures need a folder, not a file"
            )
        files = [output]
    else:
        scale = options.scale or 4
        folder = output or Path()
        files = [folder / f"{Path(name).stem}-x{scale}.png" for name in options.images]
    twice = next((file for file in files if files.count(file) > 1), None)
    if twice is not None:
        raise InvalidInputError(f"two pictures would become {twice}: enlarge them one at a time")
    check_quality("--quality", options.quality, picture_format(files[0], "--output"))
    try_folder(files[0].parent)
    for file in files:
        if not options.overwrite:
            refuse_existing("--output", file)
    return files


def _metadata(found: dict[str, Any], record: dict[str, str]) -> dict[str, Any]:
    """Return what the file says: this enlargement, and below `original` what the picture said."""
    *before, last = found.pop("upscaled")
    original = {**found, **({"upscaled": before} if before else {})}
    return {
        "program": f"{PROGRAM} upscale",
        **last,
        "image": record,
        **({"original": original} if original else {}),
    }
