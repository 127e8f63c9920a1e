"""What is said of a part that a folder of original files does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from kandinsky_converters.sources import open_source
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.errors import InvalidInputError

OF_3 = "choose decoder, flash, inpaint"


@pytest.mark.parametrize(
    ("file", "part", "said"),
    [
        ("weights/kandinsky3.pt", "upscaler", f"holds Kandinsky 3; {OF_3}$"),
        ("weights/kandinsky3_flash.pt", "x", f"holds Kandinsky 3; {OF_3}$"),
        ("Kandinsky-2-0.pt", "flash", "holds Kandinsky 2.0; choose decoder, inpaint$"),
        ("KandiSuperRes_x2.ckpt", "decoder", "choose upscaler, upscaler_x2, upscaler_flash$"),
        ("weights/kandinsky3.pt", None, "Kandinsky 3: say which one by --part, decoder, flash, in"),
        ("readme.txt", "x", "part 'x': choose decoder, inpaint, flash, upscaler"),
        ("model_index.json", "flash", "is one model, as its model_index.json says; leave the part"),
    ],
)
def test_only_parts_of_the_family_are_named(
    tmp_path: Path, file: str, part: str | None, said: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"nothing that is read")
    with pytest.raises(InvalidInputError, match=said):
        open_source(tmp_path, HubOptions(), part=part)
