"""Layouts that register as modules, some without the functions for folders with an index."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kandinsky_core.checkpoints import other_layouts


def test_a_layout_may_leave_functions_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, files = (SimpleNamespace(open_model=None) for _ in range(2))
    whole.adapted = None
    points: Any = [SimpleNamespace(load=lambda found=found: found) for found in (whole, files)]
    monkeypatch.setattr(other_layouts, "entry_points", lambda group: points)
    assert other_layouts.other_layouts() == [whole, files]
    assert other_layouts.other_layouts("adapted") == [whole]
