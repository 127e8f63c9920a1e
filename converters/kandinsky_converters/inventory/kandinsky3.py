"""Which tensors the UNet and the text encoder of Kandinsky 3 consist of."""

from __future__ import annotations

from typing import NamedTuple

from kandinsky_converters.inventory.layer_table import Config, LayerTable
from kandinsky_core.configs.kandinsky3_controlnet import HINT_WIDTHS

__all__ = ["kandinsky3_controlnet", "kandinsky3_unet", "t5_encoder"]

_KERNELS = (1, 3, 3, 1)  # kernel sizes of a residual block's four convolutions
_UP_AT, _DOWN_AT = 1, 2  # index of the convolution that changes the resolution
_COMPRESSION, _EXPANSION = 2, 4  # factors: a residual block narrows, a feed-forward layer widens
_UP_WITHOUT_ATTENTION, _DOWN_WITHOUT_ATTENTION = 3, 0  # indices of levels; there are at most four
_MAX_LEVELS = 4
_STEM = "controlnet_cond_embedding"


class _UnetTable(LayerTable):
    """A table of the UNet's blocks: all norms read the time and nothing else."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.time = config["time_embedding_dim"]
        self.context = config["cross_attention_dim"]
        self.image_tokens = config.get("num_image_tokens", 0)

    def norm_of_time(self, name: str, width: int) -> None:
        self.linear(f"{name}.context_mlp.1", 2 * width, self.time)

    def doubling(self, name: str, width: int) -> None:
        """Add a transposed convolution; its weight is [in,out,2,2], where in equals out."""
        self.conv(name, width, width, 2)

    def resnet(self, name: str, n_in: int, n_out: int, change: str = "") -> None:
        inner = max(n_in, n_out) // _COMPRESSION
        widths = (n_in, inner, inner, inner, n_out)
        for index, side in enumerate(_KERNELS):
            block, given, made = f"{name}.resnet_blocks.{index}", widths[index], widths[index + 1]
            self.norm_of_time(f"{block}.group_norm", given)
            if change == "up" and index == _UP_AT:
                self.doubling(f"{block}.up_sample", given)
            self.conv(f"{block}.projection", made, given, side)
            if change == "down" and index == _DOWN_AT:
                self.conv(f"{block}.down_sample", made, made, 2)
        if change == "up":
            self.doubling(f"{name}.shortcut_up_sample", n_in)
        if n_in != n_out:
            self.conv(f"{name}.shortcut_projection", n_out, n_in, 1)
        if change == "down":
            self.conv(f"{name}.shortcut_down_sample", n_out, n_out, 2)

    def attention(self, name: str, width: int, n_query: int, n_context: int) -> None:
        self.weight(f"{name}.to_q", width, n_query)
        self.weight(f"{name}.to_k", width, n_context)
        self.weight(f"{name}.to_v", width, n_context)
        self.weight(f"{name}.to_out.0", width, width)

    def ip_adapter(self, name: str, width: int) -> None:
        """Add the branch of an attention to the text that attends to image tokens."""
        self.linear(f"{name}.to_k", width, self.context)
        self.linear(f"{name}.to_v", width, self.context)
        self.linear(f"{name}.to_out", width, width)

    def attention_block(self, name: str, width: int, n_context: int) -> None:
        self.norm_of_time(f"{name}.in_norm", width)
        self.attention(f"{name}.attention", width, width, n_context)
        self.norm_of_time(f"{name}.out_norm", width)
        self.weight(f"{name}.feed_forward.0", _EXPANSION * width, width, 1, 1)
        self.weight(f"{name}.feed_forward.2", width, _EXPANSION * width, 1, 1)

    def hint_stem(self, name: str, channels: int, made: int) -> None:
        """Add the convolutions that read a hint; each later width halves the sides."""
        first, *others = HINT_WIDTHS
        self.conv(f"{name}.conv_in", first, channels, 3)
        given = first
        for index, width in enumerate(others):
            self.conv(f"{name}.blocks.{2 * index}", given, given, 3)
            self.conv(f"{name}.blocks.{2 * index + 1}", width, given, 3)
            given = width
        self.conv(f"{name}.conv_out", made, given, 3)

    def way_down(self, first: int, widths: list[int], count: int, last: int) -> None:
        """Add the levels on the way down, which all halve the sides but for the one called last."""
        for level, (given, width) in enumerate(zip([first, *widths], widths, strict=False)):
            pairs = [_Pair(width if index else given, width, width) for index in range(count)]
            pairs[-1] = pairs[-1]._replace(down=level != last)
            pixels = 0 if level == _DOWN_WITHOUT_ATTENTION else given
            self.level(f"down_blocks.{level}", pairs, pixels)

    def level(self, name: str, pairs: list[_Pair], pixels: int) -> None:
        """Add a level of pairs of residual blocks; `pixels` is the width of attention, or 0."""
        if pixels:
            self.attention_block(f"{name}.attentions.0", pixels, pixels)
        for index, pair in enumerate(pairs):
            up, down = "up" * pair.up, "down" * pair.down
            self.resnet(f"{name}.resnets_in.{index}", pair.given, pair.inner, up)
            if pixels:
                block = f"{name}.attentions.{index + 1}"
                self.attention_block(block, pair.inner, self.context)
                if self.image_tokens:
                    self.ip_adapter(f"{block}.attention.ip_adapter", pair.inner)
            self.resnet(f"{name}.resnets_out.{index}", pair.inner, pair.made, down)


class _Pair(NamedTuple):
    """Two residual blocks: the widths before, between and after them, and the change of size."""

    given: int
    inner: int
    made: int
    up: bool = False
    down: bool = False


def kandinsky3_unet(config: Config) -> LayerTable:
    """Return the table of Kandinsky3UNet.

    `out_channels`, for inpainting, and the fields of the IP-Adapter are ours.
    """
    found = _UnetTable(config)
    widths, count = list(config["block_out_channels"]), config["layers_per_block"]
    if not 1 <= len(widths) <= _MAX_LEVELS:
        raise ValueError(f"{len(widths)} levels")
    first, channels = widths[0] // 2, config["in_channels"]
    found.linear("time_embedding.linear_1", found.time, first)
    found.linear("time_embedding.linear_2", found.time, found.time)
    found.attention("add_time_condition.attention", found.time, found.context, found.context)
    found.conv("conv_in", first, channels, 3)
    found.weight("encoder_hid_proj.projection_linear", found.context, config["encoder_hid_dim"])
    found.norm("encoder_hid_proj.projection_norm", found.context)
    if config.get("hint_channels", 0):
        found.hint_stem(_STEM, config["hint_channels"], first)
    if found.image_tokens:
        image = "encoder_hid_proj.image_projection"
        width = found.image_tokens * found.context
        found.linear(f"{image}.image_embeds", width, config["image_embed_dim"])
        found.norm(f"{image}.norm", found.context)
    last = len(widths) - 1
    found.way_down(first, widths, count, last)
    for level, width in enumerate(reversed(widths)):
        made = widths[last - level - 1] if level != last else first
        entry = 2 * width if level else width  # the skip connection joins the states from below
        inner = [entry] + [width] * (count - 1)
        pairs = [_Pair(side, side, width) for side in inner]
        pairs[0] = pairs[0]._replace(up=level != 0)
        pairs[-1] = pairs[-1]._replace(made=made)
        pixels = 0 if level == _UP_WITHOUT_ATTENTION else made
        found.level(f"up_blocks.{level}", pairs, pixels)
    found.norm("conv_norm_out", first)
    found.conv("conv_out", config.get("out_channels", channels), first, 3)
    return found


def kandinsky3_controlnet(config: Config) -> LayerTable:
    """Return the table of the branch beside the UNet, which has all levels down but the last."""
    found = _UnetTable(config)
    *widths, _ = config["block_out_channels"]
    if not 1 <= len(widths) < _MAX_LEVELS:
        raise ValueError(f"{len(widths) + 1} levels")
    first = widths[0] // 2
    found.linear("time_embedding.linear_1", found.time, first)
    found.linear("time_embedding.linear_2", found.time, found.time)
    found.attention("add_time_condition.attention", found.time, found.context, found.context)
    found.conv("conv_in", first, config["in_channels"], 3)
    found.hint_stem(_STEM, config.get("hint_channels", 3), first)
    found.way_down(first, widths, config["layers_per_block"], len(widths))
    for level, width in enumerate(widths):
        found.conv(f"controlnet_down_blocks.{level}", width, width, 1)
    return found


def t5_encoder(config: Config) -> LayerTable:
    """Return the table of a gated T5EncoderModel; layers have no biases, norms only scales."""
    if not str(config["feed_forward_proj"]).startswith("gated-"):
        raise ValueError(f"feed_forward_proj {config['feed_forward_proj']!r}")
    found, width, hidden = LayerTable(), config["d_model"], config["d_ff"]
    heads, buckets = config["num_heads"], config.get("relative_attention_num_buckets", 32)
    inner = heads * config["d_kv"]
    found.weight("shared", config["vocab_size"], width)
    found.weight("encoder.final_layer_norm", width)
    for index in range(config["num_layers"]):
        block = f"encoder.block.{index}"
        attention, gate = f"{block}.layer.0.SelfAttention", f"{block}.layer.1.DenseReluDense"
        for name in ("q", "k", "v"):
            found.weight(f"{attention}.{name}", inner, width)
        found.weight(f"{attention}.o", width, inner)
        if index == 0:  # the other blocks use the table of the first
            found.weight(f"{attention}.relative_attention_bias", buckets, heads)
        for name in ("wi_0", "wi_1"):
            found.weight(f"{gate}.{name}", hidden, width)
        found.weight(f"{gate}.wo", width, hidden)
        for layer in (0, 1):
            found.weight(f"{block}.layer.{layer}.layer_norm", width)
    return found
