"""Which tensors the UNets, the prior and the autoencoders of Kandinsky 2 consist of."""

from __future__ import annotations

from typing import Any

from kandinsky_converters.inventory.layer_table import Config, LayerTable

__all__ = ["autoencoder_kl", "movq", "prior", "unet"]

# How many tokens the UNet makes of an image embedding, by `encoder_hid_dim_type`.
_IMAGE_TOKENS = {"image_proj": 32, "text_image_proj": 10}


_HINT_CHANNELS = (3, 16, 16, 32, 32, 96, 96, 256, 4)


class _UnetInventory(LayerTable):
    """A table of the UNet's blocks: resnets read the time, attention reads the conditioning."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.time = 4 * config["block_out_channels"][0]
        self.context = config["cross_attention_dim"]

    def resnet(self, name: str, n_in: int, n_out: int) -> None:
        self.norm(f"{name}.norm1", n_in)
        self.conv(f"{name}.conv1", n_out, n_in, 3)
        self.linear(f"{name}.time_emb_proj", 2 * n_out, self.time)
        self.norm(f"{name}.norm2", n_out)
        self.conv(f"{name}.conv2", n_out, n_out, 3)
        if n_in != n_out:
            self.conv(f"{name}.conv_shortcut", n_out, n_in, 1)

    def attention(self, name: str, width: int) -> None:
        self.norm(f"{name}.group_norm", width)
        for layer in ("to_q", "to_k", "to_v", "to_out.0"):
            self.linear(f"{name}.{layer}", width, width)
        for layer in ("add_k_proj", "add_v_proj"):
            self.linear(f"{name}.{layer}", width, self.context)

    def level(self, name: str, inputs: list[int], width: int, kind: str, resample: str) -> None:
        for index, n_in in enumerate(inputs):
            self.resnet(f"{name}.resnets.{index}", n_in, width)
            if kind.startswith("SimpleCrossAttn"):
                self.attention(f"{name}.attentions.{index}", width)
        if resample:
            self.resnet(f"{name}.{resample}.0", width, width)


def unet(config: Config) -> LayerTable:
    found = _UnetInventory(config)
    widths, layers = list(config["block_out_channels"]), config["layers_per_block"]
    found.conv("conv_in", widths[0], config["in_channels"], 3)
    found.linear("time_embedding.linear_1", found.time, widths[0])
    found.linear("time_embedding.linear_2", found.time, found.time)
    _unet_conditioning(found, config)
    last = len(widths) - 1
    skips, n_in = [widths[0]], widths[0]
    for index, width in enumerate(widths):
        inputs = [n_in] + [width] * (layers - 1)
        resample = "downsamplers" if index < last else ""
        kind = config["down_block_types"][index]
        found.level(f"down_blocks.{index}", inputs, width, kind, resample)
        skips += [width] * (layers + (index < last))
        n_in = width
    found.resnet("mid_block.resnets.0", n_in, n_in)
    found.attention("mid_block.attentions.0", n_in)
    found.resnet("mid_block.resnets.1", n_in, n_in)
    for index, width in enumerate(reversed(widths)):
        inputs = [(n_in if n == 0 else width) + skips.pop() for n in range(layers + 1)]
        resample = "upsamplers" if index < last else ""
        found.level(f"up_blocks.{index}", inputs, width, config["up_block_types"][index], resample)
        n_in = width
    found.norm("conv_norm_out", widths[0])
    found.conv("conv_out", config["out_channels"], widths[0], 3)
    return found


def _unet_conditioning(found: _UnetInventory, config: Config) -> None:
    time, context = found.time, found.context
    tokens, added = config["encoder_hid_dim_type"], config["addition_embed_type"]
    if (tokens, added) == ("text_image_proj", "text_image"):
        found.linear("encoder_hid_proj.image_embeds", _IMAGE_TOKENS[tokens] * context, context)
        found.linear("encoder_hid_proj.text_proj", context, config["encoder_hid_dim"])
        found.linear("add_embedding.text_proj", time, context)
        found.norm("add_embedding.text_norm", time)
        found.linear("add_embedding.image_proj", time, context)
        return
    if (tokens, added) == ("two_texts_proj", "two_texts"):
        _two_texts(found, config)
        return
    if tokens != "image_proj" or added not in ("image", "image_hint"):
        raise ValueError(f"addition_embed_type {added!r} with encoder_hid_dim_type {tokens!r}")
    image = config["encoder_hid_dim"]
    found.linear("encoder_hid_proj.image_embeds", _IMAGE_TOKENS[tokens] * context, image)
    found.norm("encoder_hid_proj.norm", context)
    found.linear("add_embedding.image_proj", time, image)
    found.norm("add_embedding.image_norm", time)
    if added == "image_hint":
        for index, n_out in enumerate(_HINT_CHANNELS[1:]):
            name = f"add_embedding.input_hint_block.{2 * index}"
            found.conv(name, n_out, _HINT_CHANNELS[index], 3)


def _two_texts(found: _UnetInventory, config: Config) -> None:
    time, context, pooled = found.time, found.context, config["encoder_hid_dim_2"]
    found.linear("encoder_hid_proj.text_proj", context, config["encoder_hid_dim"])
    found.linear("encoder_hid_proj.text_proj_2", context, pooled)
    found.norm("encoder_hid_proj.norm", context)
    found.linear("add_embedding.text_proj", time, config["text_embed_dim"])
    found.norm("add_embedding.text_norm", time)
    for layer in ("q", "k", "v"):
        found.linear(f"add_embedding.pool.{layer}", pooled, pooled)
    found.linear("add_embedding.pool.out", time, pooled)
    found.norm("add_embedding.pool_norm", time)


def prior(config: Config) -> LayerTable:
    found = LayerTable()
    width = config["num_attention_heads"] * config["attention_head_dim"]
    embedding = config["embedding_dim"]
    found.table("positional_embedding", 1, config["num_embeddings"] + 4, width)
    found.table("prd_embedding", 1, 1, width)
    found.table("clip_mean", 1, embedding)
    found.table("clip_std", 1, embedding)
    for name in ("time_embedding.linear_1", "time_embedding.linear_2"):
        found.linear(name, width, width)
    for name in ("proj_in", "embedding_proj", "encoder_hidden_states_proj"):
        found.linear(name, width, embedding)
    for index in range(config["num_layers"]):
        block = f"transformer_blocks.{index}"
        found.norm(f"{block}.norm1", width)
        for layer in ("to_q", "to_k", "to_v", "to_out.0"):
            found.linear(f"{block}.attn1.{layer}", width, width)
        found.norm(f"{block}.norm3", width)
        found.linear(f"{block}.ff.net.0.proj", 4 * width, width)
        found.linear(f"{block}.ff.net.2", width, 4 * width)
    found.norm("norm_out", width)
    found.linear("proj_to_clip_embeddings", embedding, width)
    return found


class _AutoencoderInventory(LayerTable):
    """A table of MoVQ's blocks, in the encoder or in the decoder, where norms read the latents."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.latent = config["latent_channels"]
        self.spatial = False

    def any_norm(self, name: str, width: int) -> None:
        if not self.spatial:
            self.norm(name, width)
            return
        self.norm(f"{name}.norm_layer", width)
        for layer in ("conv_y", "conv_b"):
            self.conv(f"{name}.{layer}", width, self.latent, 1)

    def resnet(self, name: str, n_in: int, n_out: int) -> None:
        self.any_norm(f"{name}.norm1", n_in)
        self.conv(f"{name}.conv1", n_out, n_in, 3)
        self.any_norm(f"{name}.norm2", n_out)
        self.conv(f"{name}.conv2", n_out, n_out, 3)
        if n_in != n_out:
            self.conv(f"{name}.conv_shortcut", n_out, n_in, 1)

    def attention(self, name: str, width: int) -> None:
        self.any_norm(f"{name}.{'spatial_norm' if self.spatial else 'group_norm'}", width)
        for layer in ("to_q", "to_k", "to_v", "to_out.0"):
            self.linear(f"{name}.{layer}", width, width)

    def middle(self, name: str, width: int) -> None:
        self.resnet(f"{name}.resnets.0", width, width)
        self.attention(f"{name}.attentions.0", width)
        self.resnet(f"{name}.resnets.1", width, width)

    def levels(self, name: str, resample: str, widths: list[int], depth: int, kinds: Any) -> None:
        n_in = widths[0]
        for index, width in enumerate(widths):
            for n in range(depth):
                self.resnet(f"{name}.{index}.resnets.{n}", n_in, width)
                n_in = width
                if kinds[index].startswith("Attn"):
                    self.attention(f"{name}.{index}.attentions.{n}", width)
            if index < len(widths) - 1:
                self.conv(f"{name}.{index}.{resample}.0.conv", width, width, 3)


def movq(config: Config) -> LayerTable:
    found = _AutoencoderInventory(config)
    latent = found.latent
    code = config["vq_embed_dim"] or latent
    _encoder(found, config, latent)
    found.conv("quant_conv", code, latent, 1)
    found.table("quantize.embedding.weight", config["num_vq_embeddings"], code)
    found.conv("post_quant_conv", latent, code, 1)
    found.spatial = True
    _decoder(found, config)
    return found


def autoencoder_kl(config: Config) -> LayerTable:
    """Return the table of 2.0's autoencoder: MoVQ's blocks with plain norms."""
    found = _AutoencoderInventory({"latent_channels": 4, **config})
    moments = 2 * found.latent
    _encoder(found, config, moments)
    found.conv("quant_conv", moments, moments, 1)
    found.conv("post_quant_conv", found.latent, found.latent, 1)
    _decoder(found, config)
    return found


def _encoder(found: _AutoencoderInventory, config: Config, made: int) -> None:
    widths, kinds = list(config["block_out_channels"]), config["down_block_types"]
    found.conv("encoder.conv_in", widths[0], config.get("in_channels", 3), 3)
    layers = config["layers_per_block"]
    found.levels("encoder.down_blocks", "downsamplers", widths, layers, kinds)
    found.middle("encoder.mid_block", widths[-1])
    found.norm("encoder.conv_norm_out", widths[-1])
    found.conv("encoder.conv_out", made, widths[-1], 3)


def _decoder(found: _AutoencoderInventory, config: Config) -> None:
    widths, kinds = list(config["block_out_channels"]), config["up_block_types"]
    found.conv("decoder.conv_in", widths[-1], found.latent, 3)
    found.middle("decoder.mid_block", widths[-1])
    layers = config["layers_per_block"] + 1
    found.levels("decoder.up_blocks", "upsamplers", widths[::-1], layers, kinds)
    found.any_norm("decoder.conv_norm_out", widths[0])
    found.conv("decoder.conv_out", config.get("out_channels", 3), widths[0], 3)
