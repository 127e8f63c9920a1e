"""The one table of the formats that are tried."""

from __future__ import annotations

from collections.abc import Mapping

from tools.fuzz.cases.case import Format
from tools.fuzz.formats.arrays import Arrays
from tools.fuzz.formats.folders import Conversions
from tools.fuzz.formats.json_files import Configs, Preprocessors, Schedulers
from tools.fuzz.formats.lora import Lora
from tools.fuzz.formats.metadata import Metadata
from tools.fuzz.formats.mindspore import MindSpore
from tools.fuzz.formats.pickled import Pickled
from tools.fuzz.formats.pictures import Pictures
from tools.fuzz.formats.readme import Readme
from tools.fuzz.formats.safetensors import Safetensors
from tools.fuzz.formats.tokenizers import Tokenizers

__all__ = ["FORMATS"]

FORMATS: Mapping[str, type[Format]] = {
    entry.name: entry
    for entry in (
        Safetensors,
        Pickled,
        MindSpore,
        Lora,
        Configs,
        Schedulers,
        Preprocessors,
        Tokenizers,
        Conversions,
        Readme,
        Metadata,
        Pictures,
        Arrays,
    )
}
"""The formats by their names."""
