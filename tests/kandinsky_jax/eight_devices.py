"""Networks over a mesh of eight devices; `test_many_devices` starts these with eight virtual CPUs.

Here rather than there, as JAX divides a CPU once, before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import kandinsky_core as kandinsky
import kandinsky_jax
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_core import AutoPipelineForText2Image, KandinskyV22PriorPipeline, get_backend
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_core.memory.on_demand_encoder import OnDemandTextEncoder
from kandinsky_core.schedulers.schedule import make_rows
from kandinsky_core.seam.compile_only import compile_only
from kandinsky_jax.layers import winograd
from kandinsky_jax.layers.platforms import Target
from kandinsky_jax.placement.mesh import find_mesh
from kandinsky_jax.placement.mesh_place import OverMesh
from tests.kandinsky_cli.run import runner
from tests.kandinsky_jax.test_many_devices import OPTIONS
from tests.support.dict_tensors import DictTensors

pytestmark = pytest.mark.usefixtures("shallow_shapes")
TRAINED = EMBEDDED["shapes"]

# MoVQ doubles pictures here as that of large models does.
winograd.WIDE = 1
PROMPTS = [  # five, which no axis of the meshes divides
    "a large red circle on a blue background",
    "a small yellow star on a black background",
    "a green square on a white background",
    "a white triangle on a red background",
    "a large blue star on a yellow background",
]
SEEDS = [3, 1, 4, 1, 5]
COLLECTIVES = r"all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
# Of a value in [0, 1]. The programs for another number of pictures, on one device too, sum in
# another order, which random weights multiply: 1.4e-5 was seen.
ROUNDING = 3e-5

# Of 2.1, and of Kandinsky 3 for inpainting.
NETWORKS: dict[str, dict[str, Any]] = {
    "UNet2DConditionModel": {
        "in_channels": 4,
        "out_channels": 8,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "attention_head_dim": 8,
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "cross_attention_dim": 32,
        "addition_embed_type": "text_image",
        "encoder_hid_dim": 24,
        "encoder_hid_dim_type": "text_image_proj",
        "resnet_time_scale_shift": "scale_shift",
    },
    "Kandinsky3UNet": {
        "in_channels": 9,
        "out_channels": 4,
        "time_embedding_dim": 64,
        "groups": 4,
        "attention_head_dim": 8,
        "layers_per_block": 2,
        "block_out_channels": (32, 64),
        "cross_attention_dim": 32,
        "encoder_hid_dim": 24,
    },
    "T5EncoderModel": {
        "vocab_size": 256,
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 128,
        "num_layers": 2,
        "num_heads": 8,
        "feed_forward_proj": "gated-silu",
    },
}
PLAIN = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]


@pytest.fixture(scope="module", autouse=True)
def _one_backend_for_each_mesh() -> Iterator[None]:
    """Networks of one backend share their programs, so each is traced and compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kandinsky_jax, "create", cache(kandinsky_jax.create))
        yield


def load(
    mesh: Any, name: str = "AutoPipelineForText2Image", model: Any = "shapes", **options: Any
) -> Any:
    made = getattr(kandinsky, name).from_pretrained(model, backend="jax", mesh=mesh, **options)
    made.set_progress_bar_config(disable=True)
    return made


@cache
def pipeline(mesh: str | None) -> Any:
    return load(mesh)


def pictures(pipe: Any) -> Any:
    return pipe(PROMPTS, seed=SEEDS, **OPTIONS).images


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def source(class_name: str) -> Any:
    """Random weights, small enough for the numbers to stay of order one."""
    config = NETWORKS[class_name]
    shapes = expected_tensors(class_name, config)
    tensors = DictTensors({name: 0.2 * normal(*shape) for name, shape in shapes.items()})
    return SimpleNamespace(class_name=class_name, config=config, tensors=lambda: tensors)


def programs(network: Any) -> list[str]:
    return [c.as_text() for p in network._programs.values() for c in p._compiled]


def share(network: Any) -> float:
    """The largest part of a network's weights that one device holds."""
    held: dict[Any, int] = dict.fromkeys(jax.devices(), 0)
    leaves = jax.tree.leaves(network._weights)
    for leaf in leaves:
        for shard in leaf.addressable_shards:
            held[shard.device] += shard.data.nbytes
    return max(held.values()) / sum(leaf.nbytes for leaf in leaves)


@pytest.mark.slow
def test_pictures_of_shared_weights_are_those_of_whole_ones() -> None:
    """Those of programs that were compiled ahead; nothing else is compiled."""
    mesh = "data=4,model=2"
    backend: Any = get_backend("jax", mesh=mesh)
    with compile_only():  # before a weight is read
        bare = AutoPipelineForText2Image.from_pretrained("shapes", backend=backend)
        bare.enable_model_cpu_offload()
    assert bare.compile(batch_sizes=5, negative_prompt=False)
    pipe, ahead = pipeline(mesh), len(backend.compilations)
    assert pipe.device == "cpu x 8 (data=4, model=2)"
    images = pictures(pipe)
    assert images.std() > 0.01
    assert backend.compilations[ahead:] == []
    difference = np.abs(images - pictures(pipeline("data=8"))).max()
    print(f"{mesh}: max abs {difference:.1e}")  # noqa: T201 - shown by pytest -rP
    assert difference <= ROUNDING


@pytest.mark.slow
def test_a_device_makes_the_pictures_that_one_alone_makes() -> None:
    """Bit for bit: the program is the same."""
    alone = [pipeline(None)(PROMPTS[at], seed=SEEDS[at], **OPTIONS).images for at in range(5)]
    np.testing.assert_array_equal(pictures(pipeline("data=8")), np.concatenate(alone))


@pytest.mark.slow
def test_devices_with_pictures_of_their_own_do_not_talk() -> None:
    pipe = pipeline("data=8")
    pictures(pipe)
    decoder, prior = pipe.decoder_pipe, pipe.prior_pipe
    for network in (decoder.unet, decoder.movq, prior.prior, prior.text_encoder):
        assert programs(network)
        for program in programs(network):
            assert not re.search(COLLECTIVES, program), type(network.config).__name__
    split = pipeline("data=4,model=2")
    pictures(split)
    assert any(re.search(COLLECTIVES, program) for program in programs(split.unet))


@pytest.mark.slow
@pytest.mark.parametrize(("mesh", "parts"), [("data=8", 1), ("data=4,model=2", 2), ("model=8", 8)])
def test_each_device_holds_its_part_of_the_weights(mesh: str, parts: int) -> None:
    """Besides what is whole everywhere, which is more of small networks than of the published."""
    for name, network in pipeline(mesh).networks.items():
        assert 1 / parts <= share(network) <= 1 / parts + (0.04 if parts > 1 else 0), name


@pytest.mark.slow
def test_the_number_of_pictures_compiles_by_what_a_device_gets() -> None:
    pipe = pipeline("data=8")
    pictures(pipe)
    log = pipe.unet._log
    before = len(log)
    other = OPTIONS | {"num_inference_steps": 2, "guidance_scale": 2.0}
    for count in (2, 8):
        images = pipe(["a ring"] * count, seed=list(range(count)), **other).images
        assert len(images) == count
    assert len(log) == before


@pytest.mark.slow
def test_a_task_that_takes_pictures() -> None:
    """With encoded pictures and kept latents, by trained weights: random ones multiply more."""
    mask = np.zeros((32, 32), np.float32)
    mask[8:, 8:] = 1
    request = {"image": normal(32, 32, 3).clip(0, 1), "mask_image": mask, "output_type": "np"}
    request |= {"image_embeds": normal(3, 96), "negative_image_embeds": normal(3, 96)[::-1]}
    one, many = (
        load(mesh, "KandinskyV22InpaintPipeline", model=TRAINED)(
            **request, height=32, width=32, seed=[1, 2, 3], num_inference_steps=10
        ).images
        for mesh in (None, "data=2,model=2")
    )
    difference = np.abs(one - many).max()
    print(f"inpainting: max abs {difference:.1e}")  # noqa: T201 - shown by pytest -rP
    assert difference <= ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mesh"), [("UNet2DConditionModel", "data=8"), ("Kandinsky3UNet", "data=2,model=4")]
)
def test_runs_of_other_networks(name: str, mesh: str) -> None:
    """Guided, for five pictures: written to, conditioned anew, and read."""
    expected, given = outcome(name, None), outcome(name, mesh)
    relative = np.linalg.norm(given - expected) / np.linalg.norm(expected)
    print(f"{name}, {mesh}: relative {relative:.1e}")  # noqa: T201 - shown by pytest -rP
    assert relative <= 2e-6


@cache
def outcome(name: str, mesh: str | None) -> Any:
    """The values of a guided run for five pictures after its first step and at its end."""
    given, count = source(name), 5
    text = {"text_encoder_hidden_states": normal(2 * count, 7, 24)}
    conditioning = text | {"image_embeds": normal(10, 32), "text_embeds": normal(10, 32)}
    if name == "Kandinsky3UNet":
        mask = np.arange(7) < np.arange(1, 11)[:, None] % 7
        extra = {"image_latents": normal(10, 8, 16, 5), "null_embedding": normal(10, 32)}
        extra["image_latents"] = np.moveaxis(extra["image_latents"], -1, 1)
        conditioning = text | extra | {"attention_mask": mask, "projected_mask": mask}
    sample = normal(count, 4, 8, 16)

    network: Any = get_backend("jax", mesh=mesh).load(given, "float32")
    run = network.begin(sample, conditioning, 3.0)
    np.testing.assert_array_equal(run.read(), sample)
    run.step(500.0, PLAIN, normal(*sample.shape))
    first = run.read()
    run.write(first[::-1] / np.abs(first).max())
    run.condition({key: array[::-1].copy() for key, array in conditioning.items()})
    run.step(400.0, PLAIN, None)
    if mesh == "data=8":
        assert not any(re.search(COLLECTIVES, program) for program in programs(network))
    return np.stack([first, run.read()])


@pytest.mark.parametrize("way", ["resident", "streamed", "on_demand"])
def test_a_text_encoder_of_kandinsky_3(way: str) -> None:
    given = source("T5EncoderModel")
    ids = np.random.default_rng(0).integers(0, 256, (3, 11))
    mask = np.arange(11) < np.array([[11], [4], [7]])

    def states(mesh: str | None) -> Any:
        backend: Any = get_backend("jax", mesh=mesh)
        if way == "resident":
            return backend.load(given, "float32").encode(ids, mask)
        streamed = backend.load_streamed(given, "float32")
        if way == "streamed":
            return streamed.encode(ids, mask)
        return OnDemandTextEncoder(streamed, partial(backend.load, given)).encode(ids, mask)

    expected = states(None)
    relative = np.linalg.norm(states("data=2,model=4") - expected) / np.linalg.norm(expected)
    assert relative <= 2e-6


@pytest.mark.slow
def test_weights_can_be_changed_offloaded_and_cast_but_not_moved() -> None:
    def embeds(pipe: Any) -> Any:
        return pipe(PROMPTS[:3], seed=[1, 2, 3], num_inference_steps=2).image_embeds

    pipe = load("data=2,model=2", "KandinskyV22PriorPipeline")
    before, network = embeds(pipe), pipe.prior
    places = [leaf.sharding for leaf in jax.tree.leaves(network._weights)]
    names = ["proj_in.weight", "proj_in.bias", "transformer_blocks.0.ff.net.2.weight"]
    weights = network.read_weights(names)
    for name, array in pipeline(None).prior_pipe.prior.read_weights(names).items():
        np.testing.assert_array_equal(weights[name], array)
    network.update_weights({name: 1.1 * array for name, array in weights.items()})
    assert [leaf.sharding for leaf in jax.tree.leaves(network._weights)] == places
    assert np.abs(embeds(pipe) - before).max() > 1e-3
    network.restore_weights()
    np.testing.assert_array_equal(embeds(pipe), before)

    pipe.to("cpu")
    for device in ("cpu:1", "cuda"):
        with pytest.raises(InvalidInputError, match=r"lies on cpu x 4 \(data=2, model=2\) and st"):
            pipe.to(device)
    pipe.enable_model_cpu_offload()
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(network._weights))
    np.testing.assert_array_equal(embeds(pipe), before)

    pipe.to("bfloat16")
    loaded = load("data=2,model=2", "KandinskyV22PriorPipeline", dtype="bfloat16")
    assert loaded.dtype == pipe.dtype == "bfloat16"
    np.testing.assert_array_equal(embeds(pipe), embeds(loaded))


def test_an_image_encoder_that_waits_for_pictures_goes_where_it_is_sent() -> None:
    size = (1, 3, 64, 64)
    known = load(None, "KandinskyV22PriorPipeline").image_encoder
    zeros, grey = known.encode(np.zeros(size, np.float32)), normal(*size)
    encoder = load(None, "KandinskyV22PriorPipeline").image_encoder
    encoder.offload()
    encoder.to("cpu:1")
    encoder.onload()
    found = encoder.encode(grey)
    devices = {leaf.device for leaf in jax.tree.leaves(encoder._weights)}
    assert devices == {jax.devices()[1]}
    np.testing.assert_array_equal(found, known.encode(grey))
    np.testing.assert_array_equal(encoder.encode(np.zeros(size, np.float32)), zeros)


@pytest.mark.slow
def test_on_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--steps", "10", "--prior-steps", "5", "--seed", "3", "--num-images", "5"]
    words += ["--backend", "jax", "--mesh", "data=8"]
    code, output, _ = runner(capsys)("generate", PROMPTS[0], *words)
    assert code == 0
    assert output.count("jax on cpu x 8 (data=8), ") == len(list(tmp_path.iterdir())) == 5


def test_a_mesh_of_jax_is_taken_whatever_its_axes() -> None:
    devices = np.array(jax.devices())
    forms = {
        "cpu x 8 (data=4, model=2)": Mesh(devices.reshape(2, 4), ("model", "data")),
        "cpu x 4 (model=4)": Mesh(devices[4:], ("model",)),
        "cpu x 1": Mesh(devices[3], ()),
    }
    for name, mesh in forms.items():
        pipe: Any = KandinskyV22PriorPipeline.from_pretrained("shapes", backend="jax", mesh=mesh)
        assert pipe.device == name
        leaf = jax.tree.leaves(pipe.prior._weights)[0]
        assert leaf.sharding.device_set == set(mesh.devices.flat)
    with pytest.raises(InvalidInputError, match=r"no axis 'pipe': give sizes of data and model"):
        get_backend("jax", mesh=Mesh(devices.reshape(2, 4), ("data", "pipe")))


@pytest.mark.parametrize(
    ("mesh", "pictures", "place_whole", "batch_whole"),
    [
        ("data=8", 8, True, True),
        ("data=8", 3, True, True),  # filled up with copies
        ("data=8", 1, True, False),
        ("data=4,model=2", 4, False, False),
        ("model=8", 1, False, False),
        ("data=1", 1, True, True),
    ],
)
def test_what_kernels_written_by_hand_are_told(
    mesh: str, pictures: int, place_whole: bool, batch_whole: bool
) -> None:
    """The compiler cannot divide such a kernel, so it serves programs of a device's own alone."""
    place = OverMesh(find_mesh(mesh))
    assert place.target == Target("cpu", None, place_whole)
    assert place.batch(np.zeros((pictures, 4), np.float32)).target == Target(
        "cpu", None, batch_whole
    )


def test_more_devices_than_there_are() -> None:
    with pytest.raises(BackendUnavailableError, match=r"needs 16 devices, and JAX sees cpu x 8: "):
        AutoPipelineForText2Image.from_pretrained("shapes", backend="jax", mesh="data=8,model=2")
