"""ai-forever's files of 2.1: random weights in their layout give diffusers' outputs once converted.

The original files are made here from diffusers' modules by the inverse of the published table,
written with explicit names and loops; no code of the converter takes part in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_converters.check import check
from kandinsky_converters.convert import convert
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.accounting import audit
from kandinsky_converters.originals.configs import original_config
from kandinsky_converters.originals.tensors import OriginalTensors
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.errors import CheckpointError
from tests.parity import tiny
from tests.support.dict_tensors import DictTensors

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

HEAD = 8
UNET = {
    "in_channels": 4,
    "out_channels": 8,
    "block_out_channels": (32, 64, 96, 128),
    "layers_per_block": 3,
    "down_block_types": ("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": (*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
    "resnet_time_scale_shift": "scale_shift",
    "attention_head_dim": HEAD,
    "cross_attention_dim": 40,
    "addition_embed_type": "text_image",
    "addition_embed_type_num_heads": 64,
    "encoder_hid_dim": 24,
    "encoder_hid_dim_type": "text_image_proj",
}
PRIOR = tiny.PRIOR | {"attention_head_dim": HEAD, "num_attention_heads": 3}
MOVQ = tiny.MOVQ_DEEP | {"latent_channels": 4, "vq_embed_dim": 4, "norm_num_groups": 32}

Arrays = dict[str, np.ndarray]


def interleave(arrays: list[np.ndarray], head: int) -> np.ndarray:
    """Rows of each head in turn, of each array in turn within a head."""
    rows = []
    for start in range(0, len(arrays[0]), head):
        for array in arrays:
            rows += [array[start + row] for row in range(head)]
    return np.stack(rows)


def original_prior(state: Arrays, layers: int, head: int = HEAD) -> tuple[Arrays, Arrays]:
    """The prior's file, and its statistics'."""
    made = {"model.positional_embedding": state["positional_embedding"]}
    made["model.prd_emb"] = state["prd_embedding"]
    for leaf in ("weight", "bias"):
        made[f"model.time_embed.0.{leaf}"] = state[f"time_embedding.linear_1.{leaf}"]
        made[f"model.time_embed.2.{leaf}"] = state[f"time_embedding.linear_2.{leaf}"]
        made[f"model.clip_img_proj.{leaf}"] = state[f"proj_in.{leaf}"]
        made[f"model.text_emb_proj.{leaf}"] = state[f"embedding_proj.{leaf}"]
        made[f"model.text_enc_proj.{leaf}"] = state[f"encoder_hidden_states_proj.{leaf}"]
        made[f"model.final_ln.{leaf}"] = state[f"norm_out.{leaf}"]
        made[f"model.out_proj.{leaf}"] = state[f"proj_to_clip_embeddings.{leaf}"]
        for n in range(layers):
            new, old = f"transformer_blocks.{n}", f"model.transformer.resblocks.{n}"
            qkv = [state[f"{new}.attn1.to_{part}.{leaf}"] for part in "qkv"]
            made[f"{old}.attn.c_qkv.{leaf}"] = interleave(qkv, head)
            made[f"{old}.attn.c_proj.{leaf}"] = state[f"{new}.attn1.to_out.0.{leaf}"]
            made[f"{old}.ln_1.{leaf}"] = state[f"{new}.norm1.{leaf}"]
            made[f"{old}.ln_2.{leaf}"] = state[f"{new}.norm3.{leaf}"]
            made[f"{old}.mlp.c_fc.{leaf}"] = state[f"{new}.ff.net.0.proj.{leaf}"]
            made[f"{old}.mlp.c_proj.{leaf}"] = state[f"{new}.ff.net.2.{leaf}"]
    return made, {"0": state["clip_mean"][0], "1": state["clip_std"][0]}


def original_unet(state: Arrays, head: int = HEAD) -> Arrays:
    """The UNet's file."""
    made: Arrays = {}

    def resnet(new: str, old: str) -> None:
        names = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1"}
        names |= {"norm2": "out_layers.0", "conv2": "out_layers.3"}
        names |= {"conv_shortcut": "skip_connection"}
        for ours, theirs in names.items():
            for leaf in ("weight", "bias"):
                if f"{new}.{ours}.{leaf}" in state:
                    made[f"{old}.{theirs}.{leaf}"] = state[f"{new}.{ours}.{leaf}"]

    def attention(new: str, old: str) -> None:
        for leaf in ("weight", "bias"):
            made[f"{old}.norm.{leaf}"] = state[f"{new}.group_norm.{leaf}"]
            fused = {
                "qkv": interleave([state[f"{new}.to_{part}.{leaf}"] for part in "qkv"], head),
                "encoder_kv": interleave(
                    [state[f"{new}.add_{part}_proj.{leaf}"] for part in "kv"], head
                ),
                "proj_out": state[f"{new}.to_out.0.{leaf}"],
            }
            for name, array in fused.items():  # convolutions of one dimension
                made[f"{old}.{name}.{leaf}"] = array[..., None] if leaf == "weight" else array

    for leaf in ("weight", "bias"):
        made[f"time_embed.0.{leaf}"] = state[f"time_embedding.linear_1.{leaf}"]
        made[f"time_embed.2.{leaf}"] = state[f"time_embedding.linear_2.{leaf}"]
        made[f"input_blocks.0.0.{leaf}"] = state[f"conv_in.{leaf}"]
        made[f"clip_to_seq.{leaf}"] = state[f"encoder_hid_proj.image_embeds.{leaf}"]
        made[f"to_model_dim_n.{leaf}"] = state[f"encoder_hid_proj.text_proj.{leaf}"]
        made[f"proj_n.{leaf}"] = state[f"add_embedding.text_proj.{leaf}"]
        made[f"ln_model_n.{leaf}"] = state[f"add_embedding.text_norm.{leaf}"]
        made[f"img_layer.{leaf}"] = state[f"add_embedding.image_proj.{leaf}"]
        made[f"out.0.{leaf}"] = state[f"conv_norm_out.{leaf}"]
        made[f"out.2.{leaf}"] = state[f"conv_out.{leaf}"]
    for b in range(4):
        for r in range(3):
            resnet(f"down_blocks.{b}.resnets.{r}", f"input_blocks.{1 + 4 * b + r}.0")
            if b > 0:
                attention(f"down_blocks.{b}.attentions.{r}", f"input_blocks.{1 + 4 * b + r}.1")
        if b < 3:
            resnet(f"down_blocks.{b}.downsamplers.0", f"input_blocks.{4 + 4 * b}.0")
        for r in range(4):
            resnet(f"up_blocks.{b}.resnets.{r}", f"output_blocks.{4 * b + r}.0")
            if b < 3:
                attention(f"up_blocks.{b}.attentions.{r}", f"output_blocks.{4 * b + r}.1")
        if b < 3:
            resnet(f"up_blocks.{b}.upsamplers.0", f"output_blocks.{4 * b + 3}.2")
    resnet("mid_block.resnets.0", "middle_block.0")
    attention("mid_block.attentions.0", "middle_block.1")
    resnet("mid_block.resnets.1", "middle_block.2")
    return made


def original_movq(state: Arrays) -> Arrays:
    """MoVQ's file."""
    made: Arrays = {}

    def block(new: str, old: str) -> None:
        for name, array in state.items():
            if name.startswith(f"{new}."):
                rest = name.removeprefix(f"{new}.")
                made[f"{old}.{rest.replace('conv_shortcut', 'nin_shortcut')}"] = array

    def attention(new: str, old: str) -> None:
        for ours, theirs in {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}.items():
            made[f"{old}.{theirs}.weight"] = state[f"{new}.{ours}.weight"][:, :, None, None]
            made[f"{old}.{theirs}.bias"] = state[f"{new}.{ours}.bias"]
        for name, array in state.items():
            for norm in ("group_norm", "spatial_norm"):
                if name.startswith(f"{new}.{norm}."):
                    made[f"{old}.norm.{name.removeprefix(f'{new}.{norm}.')}"] = array

    for half, side, depth in (("encoder", "down", 2), ("decoder", "up", 3)):
        for leaf in ("weight", "bias"):
            made[f"{half}.conv_in.{leaf}"] = state[f"{half}.conv_in.{leaf}"]
            made[f"{half}.conv_out.{leaf}"] = state[f"{half}.conv_out.{leaf}"]
        block(f"{half}.conv_norm_out", f"{half}.norm_out")
        for i in range(4):
            there = i if half == "encoder" else 3 - i  # the decoder counts the other way
            for j in range(depth):
                new = f"{half}.{side}_blocks.{i}"
                block(f"{new}.resnets.{j}", f"{half}.{side}.{there}.block.{j}")
                if f"{new}.attentions.{j}.to_q.weight" in state:
                    attention(f"{new}.attentions.{j}", f"{half}.{side}.{there}.attn.{j}")
            sampler = f"{side}sample"
            block(f"{half}.{side}_blocks.{i}.{sampler}rs.0", f"{half}.{side}.{there}.{sampler}")
        block(f"{half}.mid_block.resnets.0", f"{half}.mid.block_1")
        attention(f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1")
        block(f"{half}.mid_block.resnets.1", f"{half}.mid.block_2")
    for name in ("quant_conv", "post_quant_conv", "quantize"):
        block(name, name)
    return made


def arrays_of(model: Any) -> Arrays:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def save(path: Path, arrays: Arrays) -> Path:
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    return path


def filled(build: Any, seen: OriginalTensors) -> Any:
    """A module of diffusers with converted weights, loaded strictly.

    Its weights take no gradient, as those of the module it is compared with: on some processors
    PyTorch has other kernels for weights that do.
    """
    model = build()
    state = {name: torch.from_numpy(np.array(seen.read(name))) for name in seen.names()}
    model.load_state_dict(state, strict=True)
    return model.eval().requires_grad_(requires_grad=False)


def test_unet() -> None:
    model = tiny.unet(UNET)
    state = arrays_of(model)
    made = original_unet(state)
    assert len(state) == 726
    assert len(made) == 594  # as the published file has
    seen = OriginalTensors("unet", DictTensors(made), head_size=HEAD)
    assert seen.unknown == []
    class_name, config = original_config("unet", seen, HEAD)
    assert audit(class_name, expected_tensors(class_name, config), seen).fault == ""
    twin = filled(lambda: diffusers.UNet2DConditionModel.from_config(config), seen)
    inputs = torch.randn(2, 4, 16, 16), torch.tensor([999, 3])
    context = torch.randn(2, 7, 24)
    added = {"image_embeds": torch.randn(2, 40), "text_embeds": torch.randn(2, 40)}
    with torch.no_grad():
        outputs = [net(*inputs, context, added_cond_kwargs=added).sample for net in (model, twin)]
    assert torch.equal(*outputs)
    for name, array in state.items():
        assert np.array_equal(seen.read(name), array), name


def test_a_three_way_split_would_not_do() -> None:
    """What de-interleaving is for: rows in thirds give another network."""
    state = arrays_of(tiny.unet(UNET))
    made = original_unet(state)
    qkv = made["middle_block.1.qkv.weight"][..., 0]
    key = state["mid_block.attentions.0.to_k.weight"]
    assert not np.array_equal(np.split(qkv, 3)[1], key)
    seen = OriginalTensors("unet", DictTensors(made), head_size=2 * HEAD)
    assert not np.array_equal(seen.read("mid_block.attentions.0.to_k.weight"), key)


def test_prior() -> None:
    model = tiny.prior(PRIOR)
    with torch.no_grad():
        model.clip_mean += torch.randn(1, 32)
    state = arrays_of(model)
    made, statistics = original_prior(state, PRIOR["num_layers"])
    seen = OriginalTensors("prior", DictTensors(made), DictTensors(statistics), HEAD)
    assert seen.unknown == []
    class_name, config = original_config("prior", seen, HEAD)
    assert audit(class_name, expected_tensors(class_name, config), seen).fault == ""
    twin = filled(lambda: diffusers.PriorTransformer.from_config(config), seen)
    mask = torch.arange(77)[None] < torch.tensor([[5], [77]])
    inputs = torch.randn(2, 32), torch.tensor([999, 0]), torch.randn(2, 32)
    states = torch.randn(2, 77, 32)
    with torch.no_grad():
        outputs = [net(*inputs, states, mask).predicted_image_embedding for net in (model, twin)]
    assert torch.equal(*outputs)
    assert torch.equal(twin.clip_std, model.clip_std)
    assert torch.equal(twin.clip_mean, model.clip_mean)


def test_movq() -> None:
    model = tiny.movq(MOVQ)
    state = arrays_of(model)
    made = original_movq(state)
    assert len(made) == len(state) == 431
    seen = OriginalTensors("movq", DictTensors(made))
    assert seen.unknown == []
    class_name, config = original_config("movq", seen)
    assert audit(class_name, expected_tensors(class_name, config), seen).fault == ""
    twin = filled(lambda: diffusers.VQModel.from_config(config), seen)
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        latents = [net.encode(pixels).latents for net in (model, twin)]
        decoded = [net.decode(latents[0], force_not_quantize=True).sample for net in (model, twin)]
    assert torch.equal(*latents)
    assert torch.equal(*decoded)


@pytest.mark.slow
def test_files_go_all_the_way(tmp_path: Path) -> None:
    """A folder of files as published (head size 64), to diffusers and on to JAX and back."""
    wide = UNET | {"attention_head_dim": 64, "block_out_channels": (32, 64, 128, 192)}
    unet, movq = tiny.unet(wide), tiny.movq(MOVQ)
    prior = tiny.prior(PRIOR | {"attention_head_dim": 64, "num_attention_heads": 1})
    source = tmp_path / "original"
    source.mkdir()
    save(source / "decoder_fp16.ckpt", original_unet(arrays_of(unet), 64))
    made, statistics = original_prior(arrays_of(prior), PRIOR["num_layers"], 64)
    save(source / "prior_fp16.ckpt", made)
    pair = tuple(torch.from_numpy(statistics[key]) for key in "01")
    torch.save(pair, source / "ViT-L-14_stats.th")
    save(source / "movq_final.ckpt", original_movq(arrays_of(movq)))
    report = convert(source, "diffusers", tmp_path / "new")[""]
    counts = {name: (item.used, item.tensors) for name, item in report.components.items()}
    assert counts["unet"] == (594, 726)
    assert counts["movq"] == (431, 431)
    assert set(counts) == {"movq", "prior", "unet"}
    for name, model in (("unet", unet), ("prior", prior), ("movq", movq)):
        loaded = type(model).from_pretrained(tmp_path / "new" / name)
        for key, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], tensor), key
    for target in ("jax", "mindspore"):
        convert(tmp_path / "new", target, tmp_path / target)
        assert list(check(source, tmp_path / target)) == []
    single = convert(source / "prior_fp16.ckpt", "jax", tmp_path / "prior")[""]
    assert list(single.components) == ["prior"]  # the statistics lie beside it
    (source / "ViT-L-14_stats.th").unlink()
    with pytest.raises(CheckpointError, match=r"put ViT-L-14_stats.th beside it"):
        convert(source / "prior_fp16.ckpt", "jax", tmp_path / "again")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["in_layer.weight", "input_hint_block.out.weight"], "a ControlNet of kandinsky3-diff"),
        (["input_blocks.0.0.weight", "to_model_dim2.weight"], "is the file whole"),
        (["state_dict.conv.weight"], "no weights of Kandinsky 2.0, 2.1, 3 or KandiSuperRes"),
    ],
)
def test_other_originals_are_named(tmp_path: Path, names: list[str], said: str) -> None:
    path = save(tmp_path / "w.pt", {name: np.zeros((2, 2), np.float32) for name in names})
    with pytest.raises(CheckpointError, match=said) as caught:
        convert(path, "diffusers", tmp_path / "out")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_incomplete_and_foreign_originals_are_refused(tmp_path: Path) -> None:
    made = original_movq(arrays_of(tiny.movq(MOVQ)))
    for change, said in (
        ({"stray": np.zeros(2, np.float32)}, r"1 tensors are none of Kandinsky 2.1 \(stray\)"),
        ({"decoder.conv_in.bias": None}, r"1 missing \(decoder.conv_in.bias\)"),
        ({"encoder.mid.attn_1.q.weight": np.zeros((96, 96, 3, 3), np.float32)}, "can be made"),
        ({"quantize.embedding.weight": None}, "quantize.embedding.weight"),
        ({"decoder.conv_in.weight": np.zeros((1,) * 5, np.float32)}, r"decoder.conv_in.weight \["),
    ):
        changed = {name: array for name, array in {**made, **change}.items() if array is not None}
        path = save(tmp_path / "movq_final.ckpt", changed)
        with pytest.raises(CheckpointError, match=said):
            convert(path, "jax", tmp_path / "out")


@pytest.mark.parametrize("half", [False, True])
def test_torch_saves_what_we_read(tmp_path: Path, half: bool) -> None:
    """Every form of tensor that a state dict may hold."""
    layers = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(4))
    base = torch.randn(10, 6)
    state = {
        "model": (layers.half() if half else layers).state_dict(),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "transposed": base.T,
        "window": base[2:5, ::2],
        "bfloat": torch.randn(3).bfloat16(),
        "count": torch.tensor(5),
        "epoch": 3,
    }
    torch.save(state, tmp_path / "w.pt")
    file = TorchFile(tmp_path / "w.pt")
    expected = {f"model.{name}": tensor for name, tensor in state.pop("model").items()} | state
    expected.pop("epoch")
    assert set(file.names()) == set(expected)
    assert file.others == ["epoch"]
    for name, tensor in expected.items():
        read = torch.from_numpy(file.read(name).astype(np.float64))
        assert torch.equal(read, tensor.detach().double()), name


def test_old_and_whole_modules_are_refused(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 3)
    torch.save(layer.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"before PyTorch 1.6: .*torch.save"):
        TorchFile(tmp_path / "old.pt")
    torch.save(layer, tmp_path / "module.pt")
    with pytest.raises(CheckpointError, match=r"names 'torch.nn.modules.linear.Linear'"):
        TorchFile(tmp_path / "module.pt")
