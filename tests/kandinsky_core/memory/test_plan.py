"""What weights take, from headers alone, is what backends then hold."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kandinsky_converters.convert import convert
from kandinsky_converters.manifests import Manifest, manifests
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.configs import NETWORKS, CLIPVisionConfig
from kandinsky_core.memory.advice import too_little_memory
from kandinsky_core.memory.plan import ComponentMemory, MemoryPlan, readable_size, stored_size
from kandinsky_core.seam.backend import DeviceMemory
from tests.support.kandinsky3_adapters_folder import write_adapters
from tests.support.kandinsky3_folder import T5, write_kandinsky3

DOCUMENT = Path(__file__).parents[3] / "docs/memory.md"
CODEBOOK = "quantize.embedding.weight"


class Header:
    """A published component of which only names, shapes and dtypes are known."""

    config: Any = None

    def __init__(self, manifest: Manifest) -> None:
        self.class_name = manifest.class_name
        self._specs = manifest.tensors

    def tensors(self) -> Any:
        return SimpleNamespace(
            names=lambda: self._specs.keys(),
            spec=lambda name: (self._specs[name][1], self._specs[name][0]),
        )


def published(repository: str, dtype: str, quantize: str | None = None) -> MemoryPlan:
    found = {manifest.name: manifest for manifest in manifests()}
    parts = [
        ComponentMemory.of(name.split("/")[1], Header(manifest), dtype, quantize)
        for name, manifest in found.items()
        if name.split("/")[0] == repository
    ]
    return MemoryPlan(tuple(parts))


def by_name(plan: MemoryPlan) -> dict[str, ComponentMemory]:
    return {part.name: part for part in plan.components}


def of(folder: Path, dtype: str) -> dict[str, ComponentMemory]:
    return {
        name: ComponentMemory.of(name, component, dtype)
        for name, component in Checkpoint.open(folder).components.items()
        if component.class_name in NETWORKS
    }


@pytest.fixture(scope="module")
def kandinsky3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kandinsky3(tmp_path_factory.mktemp("models") / "kandinsky-3")


def test_the_published_kandinsky_2_0() -> None:
    """One UNet of the two; what no pipeline reads of XLM-RoBERTa is left out."""
    for dtype, gigabytes in (("float32", 7.50), ("bfloat16", 3.91)):
        parts = by_name(published("Kandinsky_2.0", dtype))
        del parts["unet_inpainting"]
        assert parts["vae"].dtype == "float32"
        plan = MemoryPlan(tuple(parts.values()))
        assert plan.ever / 2**30 == pytest.approx(gigabytes, abs=0.01)
    assert by_name(published("Kandinsky_2.0", "float16"))["text_encoder2"].dtype == "bfloat16"


def test_the_published_kandinsky_3() -> None:
    """As many parameters as the networks have; the embedding has two names and is kept once."""
    plan = published("kandinsky-3", "float16")
    parts = by_name(plan)
    assert {name: (part.dtype, part.parameters) for name, part in parts.items()} == {
        "text_encoder": ("bfloat16", 8_721_797_632),
        "unet": ("float16", 3_055_348_228),
        "movq": ("float32", 270_603_567),  # without the codebook, which no pipeline reads
    }
    assert parts["text_encoder"].size == 2 * 8_721_797_632
    attention, ffn = 4 * 4096 * 4096, 3 * 4096 * 16384
    assert parts["text_encoder"].block_parameters == attention + ffn + 2 * 4096
    assert parts["unet"].block_size is None


def test_ways_to_load_it() -> None:
    plan = published("kandinsky-3", "bfloat16")
    parts = by_name(plan)
    text, unet, movq = (parts[name].size for name in ("text_encoder", "unet", "movq"))
    block = parts["text_encoder"].block_size
    assert block is not None
    assert block < movq < unet < text

    def sizes(*options: Any) -> tuple[int, int]:
        way = MemoryPlan(plan.components, *options)
        return way.at_load, way.ever

    assert sizes() == (text + unet + movq, text + unet + movq)
    assert sizes("resident", True) == (text, text)
    assert sizes("on_demand", True) == (unet, text)
    assert sizes("streamed", True) == (unet, unet)
    assert sizes("on_demand") == (unet + movq, text + unet + movq)
    assert sizes("streamed") == (unet + movq, block + unet + movq)
    assert MemoryPlan(()).ever == MemoryPlan((), one_at_a_time=True).ever == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bfloat16, int8"])
@pytest.mark.parametrize(
    ("name", "repositories"),
    [
        ("2.1", ["kandinsky-2-1-prior", "kandinsky-2-1"]),
        ("2.2", ["kandinsky-2-2-prior", "kandinsky-2-2-decoder"]),
        ("3", ["kandinsky-3"]),
        ("3 with IP-Adapter", ["kandinsky-3", "kandinsky3_ip_adapter"]),
        ("3 with ControlNet", ["kandinsky-3", "kandinsky3_controlnet_v2"]),
    ],
)
def test_the_documented_sizes(name: str, repositories: list[str], dtype: str) -> None:
    computed, _, quantize = dtype.partition(", ")
    named = {
        f"{'prior' in each} {part.name}": part  # the UNet of an adapter takes the place of 3's
        for each in repositories
        for part in published(each, computed, quantize or None).components
    }
    parts = list(named.values())
    if "IP" in name:  # no manifest: it is CLIP's ViT-L/14, with as many parameters as published
        vision = CLIPVisionConfig.CLASS_NAME
        encoder = {"class_name": vision, "dtype": computed, "parameters": 303_966_208}
        parts.append(ComponentMemory(name="image_encoder", **encoder))
    found = [MemoryPlan(tuple(parts)), MemoryPlan(tuple(parts), one_at_a_time=True)]
    if name[0] == "3":
        found.append(MemoryPlan(tuple(parts), "streamed", one_at_a_time=True))
    row = [name, dtype, *(readable_size(plan.ever) for plan in found), ""][:5]
    assert f"| {' | '.join(row).rstrip()} |" in DOCUMENT.read_text(encoding="utf-8")


def test_a_branch_is_used_together_with_its_unet() -> None:
    plan = by_name(published("kandinsky-3", "bfloat16"))
    plan |= by_name(published("kandinsky3_controlnet_v2", "bfloat16"))
    both = plan["unet"].size + plan["unet_controlnet"].size
    without = tuple(part for name, part in plan.items() if name != "text_encoder")
    found = MemoryPlan(without, one_at_a_time=True)
    assert found.ever == both
    assert found.at_load == plan["unet"].size, "they are loaded one after the other"
    streamed = MemoryPlan(tuple(plan.values()), "streamed", one_at_a_time=True)
    assert streamed.ever == both


def test_kandinsky_3_in_8_bits_fits_one_chip_of_16_gb() -> None:
    """The steps count, and what stays in the dtype; blocks shrink as the network does."""
    plan = published("kandinsky-3", "bfloat16")
    eight = published("kandinsky-3", "bfloat16", "int8")
    assert plan.quantized("int8") == eight
    assert plan.ever > 16e9 > eight.ever
    text, unet, movq = (by_name(eight)[name] for name in ("text_encoder", "unet", "movq"))
    assert movq == by_name(plan)["movq"]
    assert movq.quantize is None
    norms, distances = (2 * 32 + 1) * 4096, 32 * 16
    products = 8_721_797_632 - norms - distances
    # Rows of the table; outputs of q, k, v, o, wi_0, wi_1 and wo in 32 blocks.
    channels = 32128 + 32 * (4 * 4096 + 2 * 16384 + 4096)
    assert text.size == products + 4 * channels + 2 * (norms + distances)
    block = by_name(plan)["text_encoder"].block_parameters
    assert text.block_size == block - 2 * 4096 + 2 * 2 * 4096 + 4 * (channels - 32128) // 32
    assert 0.5 < unet.size / by_name(plan)["unet"].size < 0.53
    chip = DeviceMemory(
        device="tpu:0", total=14 * 2**30, free=None, host=False, filled_by_load=True
    )
    advised = too_little_memory(plan, chip, ("int8",))
    assert "'streamed' (5.7 GiB), or quantize='int8' (12.1 GiB), or " in advised
    assert "quantize" not in too_little_memory(plan, chip)


def test_another_dtype_spares_what_is_pinned() -> None:
    plan = published("kandinsky-2-2-decoder", "float32")
    half = by_name(plan.in_dtype("float16"))
    assert half["movq"] == by_name(plan)["movq"]
    assert 2 * half["unet"].size == by_name(plan)["unet"].size


@pytest.mark.parametrize("half", ["prior", "decoder"])
def test_the_embedded_model(half: str) -> None:
    folder = EMBEDDED["shapes"] / half
    for name, part in of(folder, "float32").items():
        files = SafetensorsFiles(list((folder / name).glob("*.safetensors")))
        stored = sum(math.prod(files.spec(tensor)[0]) for tensor in files.names())
        assert stored_size(files) == 2 * stored, "float16"
        codebook = math.prod(files.spec(CODEBOOK)[0]) if part.class_name == "VQModel" else 0
        assert part.parameters == stored - codebook


@pytest.mark.slow(seconds=15)
def test_it_is_what_jax_holds(kandinsky3: Path, tmp_path: Path) -> None:
    """From files in diffusers' layout, in JAX's and in MindSpore's; adapters as published."""
    jax = pytest.importorskip("jax")
    from kandinsky_core import get_backend

    folders = [EMBEDDED["shapes"] / "prior", kandinsky3, write_adapters(tmp_path / "adapters")]
    assert {"image_encoder", "controlnet"} < of(folders[-1], "float32").keys()
    for layout in ("jax", "mindspore"):
        convert(kandinsky3, layout, tmp_path / layout)
        folders.append(tmp_path / layout)
    for folder in folders:
        components = Checkpoint.open(folder).components
        for name, part in of(folder, "bfloat16").items():
            if folder.name == "adapters" and name in ("movq", "text_encoder"):
                continue  # as in the others
            network: Any = get_backend("jax").load(components[name], part.dtype)
            held = sum(leaf.nbytes for leaf in jax.tree.leaves(network._weights))
            assert part.size == held, (folder, name)


def test_a_block_is_a_block(kandinsky3: Path) -> None:
    part = of(kandinsky3, "float32")["text_encoder"]
    width, heads = T5["d_model"], T5["num_heads"] * T5["d_kv"]
    assert part.block_size == 4 * (4 * width * heads + 3 * width * T5["d_ff"] + 2 * width)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (3 << 19, "1.5 MiB"),
        (17_443_595_264, "16.2 GiB"),
        (3 << 39, "1.5 TiB"),
        (3 << 49, "1.5 PiB"),
        (3 << 60, "3 EiB"),
        (3 << 2000, f"{3 << 1940} EiB"),
    ],
)
def test_readable_size(size: int, expected: str) -> None:
    assert readable_size(size) == expected
