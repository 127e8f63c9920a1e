"""Whatever form of tensor `torch.save` writes, the file reads as `torch.load` reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.errors import CheckpointError

torch = pytest.importorskip("torch")


def tensors() -> dict[str, Any]:
    """Tensors whose values do not lie one behind the other."""
    numbers = torch.arange(24.0).reshape(2, 3, 4)
    return {
        "expanded scalar": torch.full((1,), 7.0).expand(4, 4),
        "expanded row": torch.arange(3).expand(5, 3),
        "expanded to nothing": torch.zeros(3).expand(0, 3),
        "transposed": numbers.permute(2, 0, 1),
        "slice": numbers[:, 1:, ::2],
        "windows": torch.arange(6.0).unfold(0, 3, 1),
        "tied": numbers,
        "any stride": torch.arange(3.0).as_strided((1, 3), (1 << 40, 1)),
        "any stride of nothing": torch.zeros(4).as_strided((0, 2), (1 << 61, 1)),
        "parameter": torch.nn.Parameter(torch.ones(2, 2).half()),
        "scalar": torch.tensor(True),
    }


def test_values_are_those_of_torch_load(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(tensors(), path)
    loaded = torch.load(path, weights_only=True)
    file = TorchFile(path)
    assert list(file.names()) == list(loaded)
    for name, tensor in loaded.items():
        read = file.read(name)
        assert file.spec(name)[0] == tuple(tensor.shape)
        assert read.dtype == tensor.detach().numpy().dtype
        np.testing.assert_array_equal(read, tensor.detach().numpy())
        assert not read.flags.writeable


def test_an_expanded_tensor_takes_no_memory_and_has_a_budget(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a": torch.ones(1).expand(1 << 26)}, path)
    assert set(TorchFile(path).read("a").strides) == {0}
    for shapes in ([1 << 39], [1 << 26, 1 << 8]):
        torch.save([torch.ones(1).expand(side) for side in shapes], path)
        with pytest.raises(CheckpointError, match=r"expanded tensors .* allowed are 268,435,456"):
            TorchFile(path)
