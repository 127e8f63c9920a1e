"""The tables of what the TPUs' compiler told are in the documents, and made from figures here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jax")

from benchmarks.tpu.__main__ import main
from benchmarks.tpu.programs import PARTS, form_of
from benchmarks.tpu.table import table

ROOT = Path(__file__).parents[2]
TOLD = ROOT / "benchmarks" / "tpu" / "told.json"
ROW: dict[str, Any] = {
    "program": "unet",
    "chip": "v5e",
    "arguments": 2e9,
    "temporaries": 1e9,
    "code": 1e9,
    "flops": 1.97e12,
    "weights": 2e9,
    "read": 1e9,
    "written": 0,
    "cycles": 3e6,
    "operations": 9,
    "copies": 2,
    "casts": 1,
    "collectives": 4,
    "sent": 5e6,
    "weight_copies": ["a"],
    "wide_products": [],
    "products": 8,
    "wide": 1,
}


def test_a_row_says_what_each_figure_is_of() -> None:
    (_, _, _, line) = table([ROW])
    assert line == (
        "| unet | 2.00, 1.00, 1.00 | 25% | 1.97: 10.0 ms | 3.00: 3.7 ms | 1.50 | 2.0 ms "
        "| 2, 1 of 9 | 4: 0.005 | 1, 0 |"
    )


def test_float32_counts_six_times() -> None:
    (_, _, _, line) = table([ROW | {"wide": 8}])
    assert "| 1.97: 60.0 ms |" in line


def test_a_row_says_that_a_program_does_not_fit() -> None:
    error = "tpu:0 has too little memory (the total (16.32G) exceeds available HBM (15.75G).)"
    (_, _, _, line) = table([{"program": "text", "chip": "v5e", "refused": error}])
    assert line == "| text | does not fit: 16.32 of 15.75 GiB" + " | " * 8 + " |"
    (_, _, _, line) = table([{"program": "text", "chip": "v5e", "refused": "too large"}])
    assert line.startswith("| text | does not fit | ")


def test_the_page_has_these_tables() -> None:
    lines = table(json.loads(TOLD.read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "accelerators.md").read_text(encoding="utf-8")
    assert "\n".join(lines).strip() in page, "python -m benchmarks.tpu --table --json FILE"


@pytest.mark.parametrize(
    ("part", "dtype"), [("2.2 unet", "bfloat16"), ("2.2 movq", "float32"), ("3 text", "bfloat16")]
)
def test_a_program_computes_in_what_a_pipeline_asks_for(part: str, dtype: str) -> None:
    assert form_of(PARTS[part], "bfloat16").dtype == dtype


def test_a_table_of_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--table"], ["--table", "--json", "none.json"]):
        monkeypatch.setattr("sys.argv", ["benchmarks.tpu", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert "name a file that an earlier run wrote" in capsys.readouterr().err
