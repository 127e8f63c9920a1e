"""A text encoder that holds no weights is copied with its settings, and is not pickled."""

from __future__ import annotations

import copy
import pickle

import pytest

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.without_weights import WithoutWeights


class Streamed(WithoutWeights):
    """Reads its files at each text."""

    def __init__(self) -> None:
        self.dtype = "float32"
        self.files = object()


def test_a_copy_reads_the_same_files_and_has_settings_of_its_own() -> None:
    encoder = Streamed()
    made = copy.deepcopy(encoder)
    made.dtype = "bfloat16"
    assert made.files is encoder.files
    assert encoder.dtype == "float32"


def test_it_is_not_pickled() -> None:
    with pytest.raises(InvalidInputError, match="text_encoder_loading='resident'"):
        pickle.dumps(Streamed())
