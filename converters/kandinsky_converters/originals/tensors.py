"""Reads files that ai-forever published for Kandinsky 2, 3 and KandiSuperRes, under our names.

Each original tensor is one tensor of diffusers. Where queries, keys and values are fused, it is two
or three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from kandinsky_converters.originals import kandinsky2_0 as original_kandinsky2_0
from kandinsky_converters.originals import kandinsky2_1 as original_kandinsky2_1
from kandinsky_converters.originals import kandinsky3 as original_kandinsky3
from kandinsky_converters.originals import super_resolution as original_super_resolution
from kandinsky_converters.originals.piece import HEAD_SIZE, Piece
from kandinsky_core.arrays import Array
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["KINDS", "Kind", "OriginalTensors", "kind_of"]

_Rule = Callable[[str], Iterator[tuple[str, Piece]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of original file, and how its tensors are mapped.

    Attributes:
        version: Version of Kandinsky, for messages.
        component: Name of the folder that the network gets.
        rule: Maps an original name to diffusers' tensors.
        beside: The same for a second file that belongs to the first.
        apart: Names of tensors that belong to the model and not to the network.
        left_out: Says why a tensor is no part of the network; None for one that is.
    """

    version: str
    component: str
    rule: _Rule
    beside: _Rule | None = None
    apart: tuple[str, ...] = ()
    left_out: Callable[[str], str | None] = lambda name: None


KINDS: Mapping[str, Kind] = {
    "unet2_0": Kind("2.0", "unet", original_kandinsky2_0.unet),
    "vae": Kind(
        "2.0",
        "vae",
        original_kandinsky2_0.autoencoder,
        left_out=original_kandinsky2_0.left_out,
    ),
    "movq": Kind("2.1", "movq", original_kandinsky2_1.movq),
    "prior": Kind(
        "2.1", "prior", original_kandinsky2_1.prior, beside=original_kandinsky2_1.statistics
    ),
    "unet": Kind("2.1", "unet", original_kandinsky2_1.unet),
    "movq3": Kind("3", "movq", original_kandinsky3.movq),
    "unet3": Kind(
        "3",
        "unet",
        original_kandinsky3.unet,
        beside=original_kandinsky3.projection,
        apart=("null_embedding",),
    ),
    "controlnet3": Kind("3", "controlnet", original_kandinsky3.unet),
    "upscaler": Kind("KandiSuperRes", "unet", original_super_resolution.unet),
}
"""The kinds of original files that become a network; see `kind_of`."""


class OriginalTensors:
    """Original weights under diffusers' names.

    Args:
        kind: Kind of the file; see `kind_of`.
        tensors: The original file.
        beside: A second file. For the prior it holds the mean and deviation of its embeddings, for
            a UNet of 3.1 the projection of its text.
        head_size: Channels of an attention head.

    Attributes:
        source_count: How many original tensors there are.
        unknown: Names of original tensors that no rule covers.
        apart: Names of original tensors that belong to the model and not to the network.
        ignored: Why other original tensors are left out, by their names.

    Raises:
        CheckpointError: A shape does not fit its rule, or two tensors get the same name.
    """

    layout = "diffusers"

    def __init__(
        self,
        kind: str,
        tensors: Tensors,
        beside: Tensors | None = None,
        head_size: int = HEAD_SIZE,
    ) -> None:
        self._kind, self._head_size = KINDS[kind], head_size
        self._pieces: dict[str, tuple[Tensors, Piece]] = {}
        self.unknown: list[str] = []
        self.apart: list[str] = []
        self.ignored: dict[str, str] = {}
        self.source_count = 0
        self._add(tensors, self._kind.rule)
        if beside is not None and self._kind.beside is not None:
            self._add(beside, self._kind.beside)

    def _add(self, tensors: Tensors, rule: _Rule) -> None:
        for name in tensors.names():
            self.source_count += 1
            if name in self._kind.apart:
                self.apart.append(name)
                continue
            if (reason := self._kind.left_out(name)) is not None:
                self.ignored[name] = reason
                continue
            pieces = dict(rule(name))
            if not pieces:
                self.unknown.append(name)
            for target, piece in pieces.items():
                self._add_piece(target, piece, tensors)

    def _add_piece(self, target: str, piece: Piece, tensors: Tensors) -> None:
        shape, _ = tensors.spec(piece.source)
        divisor = piece.parts * self._head_size if piece.parts > 1 else 1
        plain = not piece.flat or (len(shape) in (2, 3, 4) and set(shape[2:]) <= {1})
        version = self._kind.version
        if not shape or shape[0] % divisor or not plain:
            raise CheckpointError(
                f"original tensor {piece.source!r} has shape {list(shape)}, "
                f"from which no {target} can be made: is the file whole, and of {version}?"
            )
        if target in self._pieces:
            raise CheckpointError(
                f"original tensors {self._pieces[target][1].source!r} and {piece.source!r} "
                f"are both {target}: is the file of {version}?"
            )
        self._pieces[target] = tensors, piece

    def names(self) -> Iterable[str]:
        """See `Tensors.names`."""
        return self._pieces.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """See `Tensors.spec`."""
        tensors, piece = self._pieces[name]
        shape, dtype = tensors.spec(piece.source)
        return piece.shape(shape), dtype

    def read(self, name: str) -> Array:
        """See `Tensors.read`."""
        tensors, piece = self._pieces[name]
        return piece.values(tensors.read(piece.source), self._head_size)


def kind_of(tensors: Tensors) -> str:
    """Return the kind of an original file: one of `KINDS`, or `statistics` or `projection`.

    Raises:
        CheckpointError: The file is none of these. The message names the model where it is known.
    """
    names = set(tensors.names())
    if names == {"0", "1"}:
        shapes = {tensors.spec(name)[0] for name in names}
        if len(shapes) == 1 and len(next(iter(shapes))) == 1:
            return "statistics"
    if names == {"0.weight", "1.weight", "1.bias"}:
        return "projection"
    for mark, reason in _FOREIGN.items():
        if any(name == mark or name.startswith(mark + ".") for name in names):
            raise CheckpointError(f"{reason}: {_INSTEAD}")
    for kind, mark in _MARKS:
        if mark in names:
            return kind
    some = ", ".join(sorted(names)[:3]) or "nothing"
    raise CheckpointError(
        "these are no weights of Kandinsky 2.0, 2.1, 3 or KandiSuperRes as ai-forever published "
        f"them (there is {some}, ...): give one of its files, or a folder in diffusers' layout"
    )


# For each kind of file a tensor that only this kind has.
_MARKS = (
    ("unet2_0", "to_model_dim2.weight"),
    ("vae", "state_dict.encoder.down.0.block.0.norm1.weight"),
    ("prior", "model.prd_emb"),
    ("prior", "prd_emb"),
    ("unet", "input_blocks.0.0.weight"),
    ("movq", "encoder.down.0.block.0.norm1.weight"),
    ("unet3", "unet.in_layer.weight"),
    ("unet3", "in_layer.weight"),
    ("upscaler", "unet.init_conv.weight"),
    ("upscaler", "init_conv.weight"),
    ("movq3", "encoder.down.0.block.0.norm1.norm_layer.weight"),
)
_INSTEAD = (
    "it cannot be converted; what can are the originals of 2.0, 2.1, 3.0, 3.1 and KandiSuperRes, "
    "and folders in diffusers' layout"
)
# A name, or its beginning, that only files have for which there is no network here.
_FOREIGN = {
    "input_hint_block": "this is a ControlNet of kandinsky3-diffusers, which needs its config.json",
}
