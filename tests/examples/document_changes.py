"""What is changed in the samples of the documents before they run, and what is mended in them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from tests.support.documents import Sample

__all__ = ["GUIDE", "MENDED", "PAGES", "Mending", "changed"]

GUIDE = "diffusers-kandinsky-guide.md"
_CARD_2_1, _CARD_2_2 = "kandinsky-2-1-model-card.md", "kandinsky-2-2-model-card.md"
_README_3, _MINDONE = "kandinsky-3-readme.md", "mindone-kandinsky-2-2.md"
# Document -> the number of its samples of Python.
PAGES = {GUIDE: 46, _CARD_2_1: 5, _CARD_2_2: 8, _README_3: 3, _MINDONE: 2}

# In every sample: a pattern, and what stands there instead. Models keep their names, as a hub on
# the loopback interface has small ones of these names.
_CHANGES = {
    # the import
    r"\bfrom (?:mindone\.)?diffusers\b": "from kandinsky_core",
    r"\bfrom kandinsky3\b": "from kandinsky_core",
    # the model's name where the sample gives none
    r'pipeline\("depth-estimation"\)': 'pipeline("depth-estimation", model=DEPTH_MODEL)',
    # the device
    r"([\"'])cuda(?::0)?\1": r"\1cpu\1",
    # where pictures come from
    r"https://(?:huggingface\.co|raw\.githubusercontent\.com)": "{pictures}",
    # sizes and steps
    r"\b768\b": "64",
    r"\b512\b": "48",
    r"\b250\b": "20",
}
# How the documents call their pipelines -> the argument for the number of steps, and what it is.
_STEPS = {
    "inp_pipe": ("steps", 2),
    "pipe": ("num_inference_steps", 4),
    "pipe_prior": ("num_inference_steps", 2),
    "pipeline": ("num_inference_steps", 4),
    "prior_pipeline": ("num_inference_steps", 2),
    "t2i_pipe": ("steps", 2),
}


@dataclass(frozen=True)
class Mending:
    """A fault of a document that keeps its sample from running anywhere.

    Attributes:
        document: The document.
        why: What is wrong there.
        old: What the sample says; the fault is there as long as this is.
        new: What it says here.
        section: The section with the fault, where others have the same text.
        tab: The tab whose readers meet the fault.
    """

    document: str
    why: str
    old: str
    new: str
    section: str = ""
    tab: str | None = None

    def concerns(self, document: str, sample: Sample, tab: str | None) -> bool:
        """Whether a reader of this tab meets the fault in this sample."""
        return (
            document == self.document
            and sample.section.startswith(self.section)
            and self.tab in (None, tab)
            and self.old in sample.code
        )


_TWO_WAYS = "one block has two ways for two kinds of masks, and the second cannot follow the first"
_SQUARE = ", width=64, height=64"
MENDED = (
    # Kandinsky 3 in the guide
    Mending(
        GUIDE,
        "the step for all tabs calls a prior, which Kandinsky 3 has not",
        "image_embeds, negative_image_embeds = prior_pipeline(prompt, negative_prompt).to_tuple()",
        "",
        section="Image-to-image",
        tab="Kandinsky 3",
    ),
    Mending(
        GUIDE,
        "the picture was loaded as original_image",
        "image=image",
        "image=original_image",
        section="Image-to-image",
        tab="Kandinsky 3",
    ),
    Mending(
        GUIDE,
        "the picture was loaded as init_image",
        "image=original_image",
        "image=init_image",
        section="Inpainting",
    ),
    Mending(
        GUIDE,
        "the decoder of 2.2 takes no prompt",
        "pipeline(prompt, **prior_out",
        "pipeline(**prior_out",
        section="Interpolation",
        tab="Kandinsky 2.2",
    ),
    Mending(
        GUIDE,
        "make_image_grid is not imported",
        "make_image_grid(",
        "from diffusers.utils import make_image_grid\nmake_image_grid(",
        section="ControlNet",
    ),
    Mending(GUIDE, _TWO_WAYS, "mask = 1 - mask", "mask = 1 - MASK_ARRAY"),
    Mending(_CARD_2_1, _TWO_WAYS, "mask = 1 - mask", "mask = 1 - MASK_ARRAY"),
    Mending(_CARD_2_2, _TWO_WAYS, "mask = 1 - mask", "mask = 1 - MASK_ARRAY"),
    Mending(_CARD_2_1, "by then the mask is an array", "invert(mask)", "invert(MASK)"),
    Mending(_CARD_2_2, "by then the mask is an array", "invert(mask)", "invert(MASK)"),
    Mending(_CARD_2_1, "nothing is called out", "out.images[0].save", "image.save"),
    Mending(_CARD_2_2, "nothing is called out", "out.images[0].save", "image.save"),
    Mending(
        _README_3,
        "torch is not imported",
        "from kandinsky3 import get_T2I_Flash_pipeline",
        "import torch\nfrom kandinsky3 import get_T2I_Flash_pipeline",
    ),
    Mending(_README_3, "the pipeline is called pipe", "\npipe = get_", "\ninp_pipe = get_"),
    Mending(_README_3, "the picture is the reader's", "image = ...", "image = IMAGE"),
    Mending(_README_3, "the mask is the reader's", "mask = ...", "mask = MASK"),
    # No fault, but a size that the sample leaves to the model: 1024 pixels.
    Mending(GUIDE, "a size", "pipeline(prompt)", f"pipeline(prompt{_SQUARE})", tab="Kandinsky 3"),
    Mending(_README_3, "a size", 'of sushi.")', f'of sushi."{_SQUARE})'),
)


class _FewerSteps(ast.NodeTransformer):
    """Says how many steps each call of a pipeline takes, in place of what it says or leaves out."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in _STEPS and "model" not in {word.arg for word in node.keywords}:
            argument, count = _STEPS[name]
            node.keywords = [word for word in node.keywords if word.arg != argument]
            node.keywords.append(ast.keyword(argument, ast.Constant(count)))
        return node


def changed(document: str, sample: Sample, tab: str | None, places: dict[str, Any]) -> str:
    """The sample's code as it runs here.

    Args:
        document: The document's name.
        sample: One of its samples.
        tab: The tab that the reader has chosen.
        places: What stands for `{pictures}`: the address of the pictures.
    """
    code = sample.code
    for mending in MENDED:
        if mending.concerns(document, sample, tab):
            code = code.replace(mending.old, mending.new)
    for pattern, new in _CHANGES.items():
        code = re.sub(pattern, new.format(**places) if "{" in new else new, code)
    return ast.unparse(ast.fix_missing_locations(_FewerSteps().visit(ast.parse(code))))
