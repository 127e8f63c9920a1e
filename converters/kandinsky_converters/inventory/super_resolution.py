"""Which tensors the UNet of KandiSuperRes consists of."""

from __future__ import annotations

from kandinsky_converters.inventory.layer_table import Config, LayerTable

__all__ = ["super_resolution_unet"]

_SIDE = 4  # of the kernels that halve and double


def super_resolution_unet(config: Config) -> LayerTable:
    """List the UNet of KandiSuperRes."""
    table = LayerTable()
    first, time = config["init_channels"], config["time_embedding_dim"]
    widths, counts = list(config["block_out_channels"]), list(config["layers_per_block"])

    def resnet(name: str, n_in: int, n_out: int, *, resized: bool = False) -> None:
        table.norm(f"{name}.norm1", n_in)
        table.conv(f"{name}.conv1", n_out, n_in, 3)
        table.linear(f"{name}.time_emb_proj", 2 * n_out, time)
        table.norm(f"{name}.norm2", n_out)
        table.conv(f"{name}.conv2", n_out, n_out, 3)
        if resized:  # a transposed convolution has as many inputs as outputs here
            table.conv(f"{name}.sampler", n_in, n_in, _SIDE)
            table.conv(f"{name}.shortcut_sampler", n_in, n_in, _SIDE)
        if resized or n_in != n_out:
            table.conv(f"{name}.conv_shortcut", n_out, n_in, 1)

    table.linear("time_embedding.linear_1", time, first)
    table.linear("time_embedding.linear_2", time, time)
    table.conv("conv_in", first, config["in_channels"], 3)
    last = len(widths) - 1
    for level, (n_in, n_out) in enumerate(zip([first, *widths[:-1]], widths, strict=True)):
        for index in range(counts[level]):
            name = f"down_blocks.{level}.resnets.{index}"
            resnet(name, n_out if index else n_in, n_out, resized=level < last and not index)
    for level, (width, n_out) in enumerate(
        zip(widths[::-1], [*widths[-2::-1], first], strict=True)
    ):
        final = counts[::-1][level] - 1
        for index in range(final + 1):
            n_in = 2 * width if level and not index else width
            made = n_out if index == final else width
            name = f"up_blocks.{level}.resnets.{index}"
            resnet(name, n_in, made, resized=bool(level) and index == final)
    table.norm("conv_norm_out", first)
    table.conv("conv_out", config["out_channels"], first, 3)
    return table
