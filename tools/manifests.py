"""Writes the manifests of the published checkpoints: `python -m tools.manifests`.

Each network is built from its published config on torch's meta device, which costs no memory. The
result is compared with the known facts of the published file: how many tensors and values it has,
how long its header is, and so how large the file is. The program ends when a fact does not agree.
It needs the `test` extra.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_core.configs import NETWORKS
from kandinsky_core.seam.stored_dtypes import STORED
from tools.published import PUBLISHED
from tools.published_component import Published

FOLDER = Path(__file__).parents[1] / "converters/kandinsky_converters/manifests"
# safetensors writes larger types first, and of one type in the order of names.
_ORDER = ("I64", "F32", "BF16", "F16")
# Fields of configs that add layers which no other library has.
_OF_ADAPTERS = ("hint_channels", "image_embed_dim", "num_image_tokens")

Tensors = dict[str, tuple[str, list[int]]]


def main() -> None:
    """Write `<version>.json.gz` for each version."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER)
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    versions: dict[str, dict[str, Any]] = {}
    for name, published in PUBLISHED.items():
        tensors = tensors_of(published)
        check(name, published, tensors)
        versions.setdefault(published.version, {})[name] = {
            "class": published.class_name,
            "config": published.config,
            "files": published.files,
            "parameters": count(tensors),
            "tensors": tensors,
        }
    for version, manifests in versions.items():
        text = json.dumps(manifests, separators=(",", ":"), sort_keys=True).encode()
        # No time and no name inside: the same manifests are the same bytes.
        (folder / f"{version}.json.gz").write_bytes(gzip.compress(text, 9, mtime=0))


def tensors_of(published: Published) -> Tensors:
    """Return dtype and shape of each stored tensor."""
    tensors = {}
    for name, shape in _shapes(published):
        if name == "encoder.embed_tokens.weight":  # T5's, the same as `shared.weight`
            continue
        dtype = published.dtype
        if name.endswith(published.kept_in_float32):
            dtype = "F32"
        tensors[name] = (dtype, list(shape))
    tensors |= {name: ("I64", list(shape)) for name, shape in published.buffers.items()}
    return tensors


def _shapes(published: Published) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the stored tensors by PyTorch's class, or where no library has it by our inventory."""
    known: dict[str, tuple[int, ...]] = {}
    plain = {name: value for name, value in published.config.items() if name not in _OF_ADAPTERS}
    if NETWORKS[published.class_name].library != "kandinsky_core":
        with torch.device("meta"):
            network = build(published.class_name, plain)
        known = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        yield from known.items()
    if not known or plain != published.config:
        found = expected_tensors(published.class_name, published.config)
        yield from ((name, shape) for name, shape in found.items() if name not in known)


def build(class_name: str, config: Mapping[str, Any]) -> Any:
    """Build the network of a class, with random weights or none."""
    if class_name == "MultilingualCLIP":
        return MultilingualCLIP(MCLIPConfig(**config))
    if "out_channels" in config and class_name == "Kandinsky3UNet":
        return _inpainting_unet(dict(config))
    if hasattr(diffusers, class_name):
        return getattr(diffusers, class_name).from_config(dict(config))
    network = getattr(transformers, class_name)
    return network(network.config_class(**config))


def _inpainting_unet(config: dict[str, Any]) -> Any:
    """Build a UNet with more channels in than out, which diffusers' class cannot make."""
    channels = config.pop("in_channels")
    network = diffusers.Kandinsky3UNet(in_channels=config.pop("out_channels"), **config)
    first = network.conv_in
    network.conv_in = torch.nn.Conv2d(channels, first.out_channels, kernel_size=3, padding=1)
    return network


def count(tensors: Tensors) -> int:
    """Return the number of floating-point values."""
    return sum(math.prod(shape) for dtype, shape in tensors.values() if dtype != "I64")


def header_bytes(tensors: Tensors) -> int:
    """Return the length of the JSON that safetensors writes, before it is padded."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in sorted(tensors, key=lambda name: (_ORDER.index(tensors[name][0]), name)):
        dtype, shape = tensors[name]
        end = start + math.prod(shape) * STORED[dtype].size
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        start = end
    return len(json.dumps(header, separators=(",", ":")))


def check(name: str, published: Published, tensors: Tensors) -> None:
    """Compare a network with the known facts of its published file, and end if one differs."""
    found = {"tensors": len(tensors), "parameters": count(tensors)}
    data = sum(STORED[dtype].size * math.prod(shape) for dtype, shape in tensors.values())
    length = header_bytes(tensors)
    # The writer of early 2023 added `length % 8` blanks, in place of `-length % 8`.
    padding = length % 8 if published.version == "2.1" else -length % 8
    if published.header_bytes is not None:
        found["header_bytes"] = 8 + length + padding
        found["bytes"] = found["header_bytes"] + data
    for fact, value in found.items():
        if getattr(published, fact) not in (value, None):
            raise SystemExit(f"{name}: {fact} is {value}, published {getattr(published, fact)}")


if __name__ == "__main__":
    main()
