"""The files that ai-forever published for Kandinsky 2.1, seen under diffusers' names.

Each original tensor is one tensor of diffusers, or, where queries, keys and values are fused, two
or three. The rules and their sources stand in docs/converter.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from kandinsky_core.errors import CheckpointError
from kandinsky_core.interfaces import Array, Tensors

__all__ = ["KINDS", "OriginalTensors", "kind_of"]

HEAD_SIZE = 64  # of every published model
_STATISTICS = ("clip_mean", "clip_std")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A tensor of diffusers within an original one.

    The rows of a fused weight come head by head, in each head first the query's (if it is in it),
    then the key's, then the value's.
    """

    source: str
    part: int = 0
    parts: int = 1
    flat: bool = False  # a convolution of side 1, to become a matrix
    row: bool = False  # a vector, to become a matrix of one row

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        if self.row:
            return (1, *given)
        sides = given[:2] if self.flat else given
        return (sides[0] // self.parts, *sides[1:])

    def values(self, array: Array, head_size: int) -> Array:
        if self.row:
            return array[None]
        if self.flat:
            array = array.reshape(array.shape[:2])
        if self.parts == 1:
            return array
        heads = array.reshape(-1, self.parts, head_size, *array.shape[1:])
        return heads[:, self.part].reshape(-1, *array.shape[1:])


class OriginalTensors:
    """Original weights under diffusers' names.

    Args:
        kind: What they are; see `kind_of`.
        tensors: The original file.
        statistics: Of the prior: the file with the mean and deviation of its embeddings.
        head_size: Channels of an attention head.

    Attributes:
        source_count: How many original tensors there are.
        unknown: Names of original tensors that no rule covers.

    Raises:
        CheckpointError: Shapes are not such as the rules need, or a name results twice.
    """

    layout = "diffusers"

    def __init__(
        self,
        kind: str,
        tensors: Tensors,
        statistics: Tensors | None = None,
        head_size: int = HEAD_SIZE,
    ) -> None:
        self._tensors, self._head_size = tensors, head_size
        self._statistics = statistics
        self._pieces: dict[str, _Piece] = {}
        self.unknown: list[str] = []
        names = list(tensors.names())
        self.source_count = len(names)
        for name in names:
            pieces = dict(KINDS[kind](name))
            if not pieces:
                self.unknown.append(name)
            self._add(pieces, tensors)
        if statistics is not None:
            pieces = {
                target: _Piece(name, row=True)
                for target, name in zip(_STATISTICS, statistics.names(), strict=True)
            }
            self.source_count += len(pieces)
            self._add(pieces, statistics)

    def _add(self, pieces: Mapping[str, _Piece], tensors: Tensors) -> None:
        for target, piece in pieces.items():
            shape, _ = tensors.spec(piece.source)
            divisor = piece.parts * self._head_size if piece.parts > 1 else 1
            plain = not piece.flat or (len(shape) in (2, 3, 4) and set(shape[2:]) <= {1})
            if not shape or shape[0] % divisor or not plain:
                raise CheckpointError(
                    f"original tensor {piece.source!r} has shape {list(shape)}, "
                    f"from which no {target} can be made: is the file whole, and of 2.1?"
                )
            if target in self._pieces:
                raise CheckpointError(
                    f"original tensors {self._pieces[target].source!r} and {piece.source!r} "
                    f"are both {target}: is the file of 2.1?"
                )
            self._pieces[target] = piece

    def names(self) -> Iterable[str]:
        """See `Tensors.names`."""
        return self._pieces.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """See `Tensors.spec`."""
        piece = self._pieces[name]
        shape, dtype = self._owner(name).spec(piece.source)
        return piece.shape(shape), dtype

    def read(self, name: str) -> Array:
        """See `Tensors.read`."""
        piece = self._pieces[name]
        return piece.values(self._owner(name).read(piece.source), self._head_size)

    def _owner(self, name: str) -> Tensors:
        return self._statistics if self._statistics and name in _STATISTICS else self._tensors


def kind_of(tensors: Tensors) -> str:
    """What an original file holds: one of `KINDS`, or `statistics`.

    Raises:
        CheckpointError: It is none of these; for files of other Kandinskys the message says which.
    """
    names = set(tensors.names())
    if names == {"0", "1"}:
        shapes = {tensors.spec(name)[0] for name in names}
        if len(shapes) == 1 and len(next(iter(shapes))) == 1:
            return "statistics"
    known = (
        ("prior", ("model.prd_emb", "prd_emb")),
        ("unet", ("input_blocks.0.0.weight",)),
        ("movq", ("encoder.down.0.block.0.norm1.weight",)),
    )
    for foreign, version in _FOREIGN.items():
        if any(name == foreign or name.startswith(foreign + ".") for name in names):
            raise CheckpointError(
                f"this is a file of {version}, whose originals cannot be converted yet: "
                "convert the files of kandinsky-community on the hub instead, where it has them"
            )
    for kind, marks in known:
        if names & set(marks):
            return kind
    some = ", ".join(sorted(names)[:3]) or "nothing"
    raise CheckpointError(
        f"these are no weights of Kandinsky 2.1 as ai-forever published them (there is {some}, "
        "...): give one of its .ckpt files, or a folder in diffusers' layout"
    )


# A name, or the beginning of one, that only another Kandinsky has.
_FOREIGN = {
    "unet.in_layer": "Kandinsky 3",
    "unet.down_samples": "Kandinsky 3",
    "in_layer": "Kandinsky 3",
    "down_samples": "Kandinsky 3",
    "projection_lin": "Kandinsky 3",
    "encoder.down.0.block.0.norm1.norm_layer": "Kandinsky 3",
    "unet.init_conv": "KandiSuperRes",
    "init_conv": "KandiSuperRes",
    "to_model_dim2": "Kandinsky 2.0",
    "proj2.q_linear": "Kandinsky 2.0",
    "0.weight": "Kandinsky 3 (a projection of its text)",
}


def _prior(name: str) -> Iterator[tuple[str, _Piece]]:
    inner = name.removeprefix("model.")
    if inner in _PRIOR_TABLES:
        yield _PRIOR_TABLES[inner], _Piece(name)
        return
    layer, _, leaf = inner.rpartition(".")
    if layer in _PRIOR_LAYERS:
        yield f"{_PRIOR_LAYERS[layer]}.{leaf}", _Piece(name)
    match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", layer)
    if match is None:
        return
    block = f"transformer_blocks.{match[1]}"
    if match[2] == "attn.c_qkv":
        for part, target in enumerate(("to_q", "to_k", "to_v")):
            yield f"{block}.attn1.{target}.{leaf}", _Piece(name, part, 3)
    elif match[2] in _PRIOR_BLOCK:
        yield f"{block}.{_PRIOR_BLOCK[match[2]]}.{leaf}", _Piece(name)


_PRIOR_TABLES = {"positional_embedding": "positional_embedding", "prd_emb": "prd_embedding"}
_PRIOR_LAYERS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "clip_img_proj": "proj_in",
    "text_emb_proj": "embedding_proj",
    "text_enc_proj": "encoder_hidden_states_proj",
    "final_ln": "norm_out",
    "out_proj": "proj_to_clip_embeddings",
}
_PRIOR_BLOCK = {
    "ln_1": "norm1",
    "ln_2": "norm3",
    "attn.c_proj": "attn1.to_out.0",
    "mlp.c_fc": "ff.net.0.proj",
    "mlp.c_proj": "ff.net.2",
}


def _unet(name: str) -> Iterator[tuple[str, _Piece]]:
    layer, _, leaf = name.rpartition(".")
    if layer in _UNET_LAYERS:
        yield f"{_UNET_LAYERS[layer]}.{leaf}", _Piece(name)
        return
    match = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)", layer)
    middle = re.fullmatch(r"middle_block\.(\d)\.(.+)", layer)
    if match is not None:
        block = _unet_block(match[1], int(match[2]), int(match[3]))
        inner = match[4]
    elif middle is not None and int(middle[1]) < 3:
        block = ("resnets.0", "attentions.0", "resnets.1")[int(middle[1])]
        block, inner = f"mid_block.{block}", middle[2]
    else:
        return
    if inner in _UNET_RESNET and block is not None and "attentions" not in block:
        yield f"{block}.{_UNET_RESNET[inner]}.{leaf}", _Piece(name)
    elif inner in _UNET_ATTENTION and block is not None and "attentions" in block:
        targets = _UNET_ATTENTION[inner]
        for part, target in enumerate(targets):
            flat = leaf == "weight" and inner != "norm"
            yield f"{block}.{target}.{leaf}", _Piece(name, part, len(targets), flat=flat)


def _unet_block(side: str, index: int, place: int) -> str | None:
    """diffusers' name of a module of three residual blocks a level, four on the way up."""
    if side == "input":
        level, number = divmod(index - 1, 4)
        names = [f"resnets.{number}" if number < 3 else "downsamplers.0", f"attentions.{number}"]
        allowed = index > 0 and (place == 0 or number < 3)
    else:
        level, number = divmod(index, 4)
        names = [f"resnets.{number}", f"attentions.{number}", "upsamplers.0"]
        allowed = place < 2 or number == 3
    if place >= len(names) or not allowed:
        return None
    return f"{'down' if side == 'input' else 'up'}_blocks.{level}.{names[place]}"


_UNET_LAYERS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "clip_to_seq": "encoder_hid_proj.image_embeds",
    "to_model_dim_n": "encoder_hid_proj.text_proj",
    "proj_n": "add_embedding.text_proj",
    "ln_model_n": "add_embedding.text_norm",
    "img_layer": "add_embedding.image_proj",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_UNET_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_UNET_ATTENTION = {
    "norm": ("group_norm",),
    "qkv": ("to_q", "to_k", "to_v"),
    "encoder_kv": ("add_k_proj", "add_v_proj"),
    "proj_out": ("to_out.0",),
}


def _movq(name: str) -> Iterator[tuple[str, _Piece]]:
    if name == "quantize.embedding.weight" or name.split(".")[0] in (
        "quant_conv",
        "post_quant_conv",
    ):
        yield name, _Piece(name)
        return
    half, _, inner = name.partition(".")
    if half not in ("encoder", "decoder"):
        return
    match = re.fullmatch(r"(conv_in|conv_out|norm_out)\.(.+)", inner)
    if match is not None:
        yield f"{half}.{match[1].replace('norm_out', 'conv_norm_out')}.{match[2]}", _Piece(name)
        return
    match = re.fullmatch(r"mid\.(block_1|attn_1|block_2)\.(.+)", inner)
    if match is not None:
        places = {"block_1": "resnets.0", "attn_1": "attentions.0", "block_2": "resnets.1"}
        block, rest = f"{half}.mid_block.{places[match[1]]}", match[2]
    else:
        found = re.fullmatch(r"(down|up)\.(\d)\.(block|attn)\.(\d)\.(.+)", inner)
        if found is None:
            yield from _movq_resampling(name, half, inner)
            return
        level = int(found[2]) if half == "encoder" else 3 - int(found[2])
        kind = "resnets" if found[3] == "block" else "attentions"
        block, rest = f"{half}.{found[1]}_blocks.{level}.{kind}.{found[4]}", found[5]
    layer, _, leaf = rest.partition(".")
    if ".attentions." in block and layer in _MOVQ_ATTENTION:
        yield f"{block}.{_MOVQ_ATTENTION[layer]}.{leaf}", _Piece(name, flat=leaf == "weight")
    elif ".attentions." in block and layer == "norm":
        norm = "group_norm" if half == "encoder" else "spatial_norm"
        yield f"{block}.{norm}.{leaf}", _Piece(name)
    elif ".resnets." in block:
        yield f"{block}.{layer.replace('nin_shortcut', 'conv_shortcut')}.{leaf}", _Piece(name)


def _movq_resampling(name: str, half: str, inner: str) -> Iterator[tuple[str, _Piece]]:
    match = re.fullmatch(r"(down|up)\.(\d)\.(downsample|upsample)\.conv\.(weight|bias)", inner)
    if match is not None:
        level = int(match[2]) if half == "encoder" else 3 - int(match[2])
        yield f"{half}.{match[1]}_blocks.{level}.{match[3]}rs.0.conv.{match[4]}", _Piece(name)


_MOVQ_ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}

KINDS: Mapping[str, Callable[[str], Iterator[tuple[str, _Piece]]]] = {
    "movq": _movq,
    "prior": _prior,
    "unet": _unet,
}
"""For each kind of file, what an original name becomes."""
