"""The arrays that a decoder's call surely has in memory, by which a call too large is refused."""

from __future__ import annotations

from collections.abc import Iterator

from kandinsky_core.memory.call_size import FLOAT, Need, host, require_room_for_call
from kandinsky_core.pipelines.shared.requests import DecoderPlan
from kandinsky_core.seam.networks import Autoencoder, Denoiser
from kandinsky_core.seam.stored_dtypes import BY_NAME

__all__ = ["require_room_for_pictures"]

_TILES = "or let MoVQ work in tiles (pipe.movq.enable_tiling(), --movq-tile-size)"


def require_room_for_pictures(
    unet: Denoiser, movq: Autoencoder, plan: DecoderPlan, count: int
) -> None:
    """Refuse pictures that are too large, or too many, for the devices and the host.

    Args:
        unet: The denoiser.
        movq: The autoencoder, with the tiles that it works in.
        plan: Sizes and guidance.
        count: Number of pictures.

    Raises:
        DeviceMemoryError: An array that the call needs exceeds the memory of its device.
    """
    noun = "picture" if count == 1 else "pictures"
    require_room_for_call(
        f"{count} {noun} of {plan.width} x {plan.height} pixels", _needs(unet, movq, plan, count)
    )


def _needs(unet: Denoiser, movq: Autoencoder, plan: DecoderPlan, count: int) -> Iterator[Need]:
    channels, height, width = plan.latent_shape
    rows = 2 * count if plan.guided else count
    # The first level has these channels, or, in Kandinsky 3 after the first convolution, half.
    features = max(unet.config.block_out_channels[0] // 2, channels)
    size = BY_NAME[unet.dtype].size
    yield Need("the UNet's features", rows * features * height * width * size, unet.memory())
    if plan.output_type == "latent":
        yield Need("the latents", count * channels * height * width * FLOAT, host())
        return
    tiling, side = movq.tiling, movq.scale_factor
    pixels = height * side * width * side
    if tiling is not None and max(height, width) > tiling.size:
        tile = min(tiling.size, height) * min(tiling.size, width) * side * side
    else:
        tile = pixels
    # The last level has the size of the picture; its convolution reads these in float32.
    features = movq.config.block_out_channels[0]
    yield Need(
        "MoVQ's features",
        count * features * tile * FLOAT,
        movq.memory(),
        _TILES if tile == pixels else "",
    )
    yield Need("the pixels", count * 3 * pixels * FLOAT, host())
