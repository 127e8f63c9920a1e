"""Which tensors the encoders of CLIP consist of."""

from __future__ import annotations

from kandinsky_converters.inventory.layer_table import Config, LayerTable

__all__ = ["clip_text", "clip_vision", "multilingual_clip"]


def _clip_layers(found: LayerTable, model: str, config: Config) -> None:
    width, inner = config.get("hidden_size", 0), config.get("intermediate_size", 0)
    for index in range(config.get("num_hidden_layers", 12)):
        layer = f"{model}.encoder.layers.{index}"
        found.norm(f"{layer}.layer_norm1", width)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found.linear(f"{layer}.self_attn.{name}", width, width)
        found.norm(f"{layer}.layer_norm2", width)
        found.linear(f"{layer}.mlp.fc1", inner, width)
        found.linear(f"{layer}.mlp.fc2", width, inner)


def clip_text(config: Config) -> LayerTable:
    config = {"hidden_size": 512, "intermediate_size": 2048, **config}  # transformers' defaults
    found, width = LayerTable(), config["hidden_size"]
    embeddings = "text_model.embeddings"
    found.table(f"{embeddings}.token_embedding.weight", config.get("vocab_size", 49408), width)
    length = config.get("max_position_embeddings", 77)
    found.table(f"{embeddings}.position_embedding.weight", length, width)
    _clip_layers(found, "text_model", config)
    found.norm("text_model.final_layer_norm", width)
    found.table("text_projection.weight", config.get("projection_dim", 512), width)
    return found


def clip_vision(config: Config) -> LayerTable:
    config = {"hidden_size": 768, "intermediate_size": 3072, **config}  # transformers' defaults
    found, width = LayerTable(), config["hidden_size"]
    patch, embeddings = config.get("patch_size", 32), "vision_model.embeddings"
    found.table(f"{embeddings}.class_embedding", width)
    colours = config.get("num_channels", 3)
    found.table(f"{embeddings}.patch_embedding.weight", width, colours, patch, patch)
    length = (config.get("image_size", 224) // patch) ** 2 + 1
    found.table(f"{embeddings}.position_embedding.weight", length, width)
    found.norm("vision_model.pre_layrnorm", width)
    _clip_layers(found, "vision_model", config)
    found.norm("vision_model.post_layernorm", width)
    found.table("visual_projection.weight", config.get("projection_dim", 512), width)
    return found


def multilingual_clip(config: Config) -> LayerTable:
    found = LayerTable()
    width, inner = config.get("hidden_size", 1024), config.get("intermediate_size", 4096)
    embeddings = "transformer.embeddings"
    found.table(f"{embeddings}.word_embeddings.weight", config.get("vocab_size", 250002), width)
    length = config.get("max_position_embeddings", 514)
    found.table(f"{embeddings}.position_embeddings.weight", length, width)
    kinds = config.get("type_vocab_size", 1)
    found.table(f"{embeddings}.token_type_embeddings.weight", kinds, width)
    found.norm(f"{embeddings}.LayerNorm", width)
    for index in range(config.get("num_hidden_layers", 24)):
        layer = f"transformer.encoder.layer.{index}"
        for name in ("query", "key", "value"):
            found.linear(f"{layer}.attention.self.{name}", width, width)
        found.linear(f"{layer}.attention.output.dense", width, width)
        found.norm(f"{layer}.attention.output.LayerNorm", width)
        found.linear(f"{layer}.intermediate.dense", inner, width)
        found.linear(f"{layer}.output.dense", width, inner)
        found.norm(f"{layer}.output.LayerNorm", width)
    states = config.get("transformerDimensions", width)
    made = config.get("numDims", config.get("imageDimSize", 768))
    found.linear("LinearTransformation", made, states)
    return found
