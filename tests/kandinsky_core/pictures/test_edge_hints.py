"""Hints of edges and scribbles, made by any callable or by a stand-in for controlnet-aux."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import hed_hint, scribble_hint
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_core.pictures import edge_hints

PICTURE = Image.new("RGB", (6, 4), (10, 200, 30))


@pytest.mark.parametrize("hint", [hed_hint, scribble_hint])
def test_a_callable_makes_a_hint_of_the_picture_s_size(tmp_path: Path, hint: Any) -> None:
    PICTURE.save(tmp_path / "a.png")
    seen: list[Image.Image] = []

    def detector(image: Image.Image) -> Any:
        seen.append(image)
        return Image.new("L", (3, 9), 51)

    for image in (PICTURE, tmp_path / "a.png"):
        found = hint(image, detector)
        assert (found.shape, found.dtype) == ((1, 3, 4, 6), np.float32)
        np.testing.assert_allclose(found, 0.2, atol=1e-6)
    assert [image.size for image in seen] == [(6, 4)] * 2
    with pytest.raises(InvalidInputError, match="picture of edges: there are 2 for one picture"):
        hint(PICTURE, lambda _: [Image.new("L", (3, 9))] * 2)


def test_the_package_makes_both(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class HEDdetector:
        @classmethod
        def from_pretrained(cls, name: str) -> Any:
            asked.append(name)
            if name == "absent":
                raise OSError("no such model\nfurther lines")
            return cls()

        def __call__(self, image: Image.Image, scribble: bool = False) -> Image.Image:
            return Image.new("RGB", image.size, (255, 255, 255) if scribble else (0, 0, 0))

    module: Any = ModuleType("controlnet_aux")
    module.HEDdetector = HEDdetector
    monkeypatch.setitem(sys.modules, "controlnet_aux", module)
    monkeypatch.setattr(edge_hints, "find_spec", lambda name: name)
    assert hed_hint(PICTURE).max() == 0
    assert scribble_hint(PICTURE, "mine").min() == 1
    assert asked == ["lllyasviel/Annotators", "mine"]
    with pytest.raises(InvalidInputError, match="detector='absent' cannot be loaded: no such mod"):
        hed_hint(PICTURE, "absent")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_hints, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailableError, match="pip install controlnet-aux torch; or give"):
        hed_hint(PICTURE)
