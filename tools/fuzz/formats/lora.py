"""LoRA files, safetensors and pickles, with their settings in the header or beside them."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np

from tools.fuzz.cases.byte_changes import changed_bytes
from tools.fuzz.cases.case import Case, Difference, Format
from tools.fuzz.cases.json_changes import changed_json, odd_text, odd_value
from tools.fuzz.formats.pickled import archive, pickled_state
from tools.fuzz.formats.safetensors import Tensor, encoded, reference

__all__ = ["Lora"]

_FORMS = (
    "mid.attn.processor.to_q_lora.{}.weight",
    "unet.mid.attn.to_q.lora.{}.weight",
    "base_model.model.unet.mid.attn.to_out.lora_{}.weight",
    "unet.mid.attn.to_q.lora_{}.default_0.weight",
    "lora_unet_mid_block_attentions_0_to_k.lora_{}.weight",
)
_SETTINGS: dict[str, Any] = {
    "r": 2,
    "lora_alpha": 4.0,
    "use_rslora": False,
    "rank_pattern": {"to_q": 2},
}
_ODD_NUMBERS = (0.0, -0.0, math.nan, math.inf, 1e-45, 3e38, -1.0)


class Lora(Format):
    """One adapter of one layer."""

    name: ClassVar[str] = "lora"

    def warm(self) -> None:
        """See `Format.warm`."""
        import safetensors  # noqa: F401

        import kandinsky_core.checkpoints.lora  # noqa: F401

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        tensors, how = _tensors(random)
        pickled = random.random() < 0.2
        settings, more = changed_json(random, _SETTINGS)
        files: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        if random.random() < 0.5:
            metadata["lora_adapter_metadata"] = settings.decode("utf-8", "replace")
            how = [*how, "settings in the header:", *more]
        else:
            files["adapter_config.json"] = settings
            how = [*how, "settings beside:", *more]
        if random.random() < 0.05:
            metadata["lora_adapter_metadata"] = odd_value(random)
        if pickled:
            content = archive(*pickled_state(tensors))
        else:
            header, data = encoded(tensors, metadata)
            text = json.dumps(header).encode("utf-8", "surrogatepass")
            content = struct.pack("<Q", len(text)) + text + data
        if random.random() < 0.2:
            content, damage = changed_bytes(random, content)
            how += damage
        files["adapter_model.bin" if pickled else "adapter_model.safetensors"] = content
        return Case(files, how)

    def read(self, case: Case, folder: Path) -> dict[str, Any]:
        """See `Format.read`."""
        from kandinsky_core.checkpoints.lora import read_lora

        found = read_lora(folder)
        for name, adapter in found.items():
            if not math.isfinite(adapter.scale):
                raise Difference(f"{name!r} has the scale {adapter.scale}")
            change = adapter.change((adapter.up.shape[0], *adapter.down.shape[1:]))
            if change is not None and change.dtype != np.float32:
                raise Difference(f"{name!r} changes by {change.dtype}")
        return found

    def compare(self, found: dict[str, Any], case: Case, folder: Path) -> None:
        """See `Format.compare`; of pickles the format `pickles` compares the values."""
        file = folder / "adapter_model.safetensors"
        if not file.is_file():
            return
        stored = [content for _, _, content in _floats(reference(file)).values()]
        for name, adapter in found.items():
            for matrix in (adapter.down, adapter.up):
                if np.ascontiguousarray(matrix).tobytes() not in stored:
                    raise Difference(f"{name!r} has values that the file does not hold")


def _tensors(random: Random) -> tuple[dict[str, Tensor], list[str]]:
    form = random.choice(_FORMS)
    peft = "lora_{}" in form and not form.startswith("lora_unet")
    down, up = ("A", "B") if peft else ("down", "up")
    arrays = {
        form.format(down): np.ones((2, 3), "<f4"),
        form.format(up): np.full((4, 2), 0.5, "<f4"),
    }
    how = []
    kind = random.choice(("", "alpha", "rank", "shape", "number", "rename", "half", "more", "none"))
    name = random.choice(list(arrays))
    if kind == "alpha":
        alpha = np.float32(random.choice((1.0, *_ODD_NUMBERS)))
        arrays["unet.mid.attn.to_q.alpha"] = np.full(random.choice(((), (1,), (2,), (0,))), alpha)
    elif kind == "rank":
        arrays[name] = np.ones(random.choice(((0, 3), (4, 0), (3, 3), (1, 1))), "<f4")
    elif kind == "shape":
        arrays[name] = np.ones(random.choice(((), (6,), (2, 3, 1, 1), (1,) * 9, (2, 3, 0))), "<f4")
    elif kind == "number":
        arrays[name].flat[0] = random.choice(_ODD_NUMBERS)
    elif kind == "rename":
        arrays[random.choice((odd_text(random), name.replace(".weight", "")))] = arrays.pop(name)
    elif kind == "half":
        arrays[name] = arrays[name].astype(random.choice(("<f2", "<i8", "<f4")))
    elif kind == "more":
        arrays[f"unet.{name}"] = arrays[name]
    elif kind == "none":
        del arrays[name]
    if kind:
        how.append(f"{kind} of {name}")
    codes = {"float32": "F32", "float16": "F16", "int64": "I64", "float64": "F64"}
    made = {
        key: (array.shape, codes[array.dtype.name], array.tobytes())
        for key, array in arrays.items()
        if array.dtype.name in ("float32", "float16", "int64")
    }
    return made, how


def _floats(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the values as float32, as adapters hold them."""
    kinds = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "u1"}
    return {
        name: (shape, code, np.frombuffer(content, kinds[code]).astype(np.float32).tobytes())
        for name, (shape, code, content) in tensors.items()
        if code in kinds
    }
