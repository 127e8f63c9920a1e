"""Names and shapes of converted weights are those of mindone's networks, small and full size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_converters.convert import convert
from kandinsky_converters.layouts.layouts import native_name
from kandinsky_core.checkpoints.file_names import NATIVE
from kandinsky_core.checkpoints.hub import EMBEDDED

mindspore = pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_core import get_backend  # noqa: E402
from kandinsky_core.checkpoints.checkpoint import Checkpoint  # noqa: E402
from kandinsky_mindspore.cpu import cpu_ops  # noqa: E402
from kandinsky_mindspore.networks.build import build_network  # noqa: E402
from tests.kandinsky_converters.test_manifests import KNOWN, config_of, used_by_networks  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_full_size_coverage(name: str) -> None:
    """mindone's own parameter names, no more and no fewer; no value is ever drawn."""
    manifest = KNOWN[name]
    cpu_ops.install()  # some operators are needed to construct
    network = build_network(config_of(manifest))
    found = {path: tuple(param.shape) for path, param in network.parameters_and_names()}
    expected = {
        native_name("mindspore", tensor, len(shape)): shape
        for tensor, shape in used_by_networks(manifest).items()
    }
    assert found == expected


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "shapes"
    for half in ("prior", "decoder"):
        convert(EMBEDDED["shapes"] / half, "mindspore", folder / half)
    return folder


@pytest.mark.parametrize("part", ["prior/prior", "prior/text_encoder", "decoder/movq"])
def test_mindspore_itself_loads_the_file_into_the_network(converted: Path, part: str) -> None:
    """Plain `load_checkpoint(path)` and `load_param_into_net`, with nothing of ours in between."""
    parameters = mindspore.load_checkpoint(str(converted / part / NATIVE["mindspore"]))
    half, name = part.split("/")
    component = Checkpoint.open(converted / half).components[name]
    network = get_backend("mindspore").load(component, "float16")
    cell: Any = network._cell
    left_over, unused = mindspore.load_param_into_net(cell, parameters, strict_load=True)
    assert left_over == []
    assert set(unused) <= {"quantize.embedding.weight"}
    stored = Checkpoint.open(EMBEDDED["shapes"] / half).components[name].tensors()
    for native, parameter in parameters.items():
        cell_name, _, leaf = native.rpartition(".")
        leaf = {"gamma": "weight", "beta": "bias", "embedding_table": "weight"}.get(leaf, leaf)
        expected = stored.read(f"{cell_name}.{leaf}" if cell_name else leaf)
        assert np.array_equal(parameter.asnumpy(), expected), native


def test_files_that_mindspore_saves_are_read(tmp_path: Path) -> None:
    from kandinsky_core.checkpoints.mindspore_files import MindSporeFile

    arrays = {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.array([1.5], np.float16),
        "count": np.array([-(2**40)], np.int64),
    }
    path = tmp_path / "saved.ckpt"
    for checksum in (False, True):
        saved = [{"name": name, "data": mindspore.Tensor(a)} for name, a in arrays.items()]
        mindspore.save_checkpoint(saved, str(path), crc_check=checksum)
        file = MindSporeFile(path)
        assert set(file.names()) == set(arrays)
        for name, array in arrays.items():
            assert np.array_equal(file.read(name), array)
            assert file.read(name).dtype == array.dtype
