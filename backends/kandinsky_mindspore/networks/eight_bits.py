"""Products with weights in 8 bits, by a kernel that only an NPU has.

MindSpore's operator `WeightQuantBatchMatmul` reads the bytes and widens them beside the product. It
is CANN's aclnnWeightQuantBatchMatmulV2, whose page gives the operands: `x` is [m,k] in float16 or
bfloat16, the weight int8, and the scale one number for each output, in the dtype of `x`. A weight
of [n,k] is taken as its transpose, which is what CANN advises; a product in the dtype takes it so
too. CANN has no such convolution, so convolutions keep their dtype. Nothing here has run on an NPU.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import Parameter, mint, nn, ops
from mindspore.common.initializer import initializer
from mindspore.nn.utils import no_init_parameters

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.quantization import products_in_eight_bits

__all__ = ["ROWS", "STEPS", "EightBitLinear", "keep_in_eight_bits", "require_kernel"]

ROWS, STEPS = "rows", "steps"
"""The leaves of the names of the two parameters that take the place of a weight."""

_DTYPES = ("bfloat16", "float16")


class EightBitLinear(nn.Cell):  # type: ignore[misc]
    """A linear layer whose weight is in 8 bits: [...,k] -> [...,n].

    The bias is added apart. CANN wants it in float32 beside bfloat16, and MindSpore's compiler
    wants it in bfloat16.

    Args:
        linear: The layer that this one takes the place of.
    """

    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.outputs, self.inputs = linear.weight.shape
        with no_init_parameters():
            self.rows = Parameter(initializer("zeros", (self.outputs, self.inputs), ms.int8))
            self.steps = Parameter(initializer("zeros", (self.outputs,), ms.float32))
        self.bias = linear.bias if linear.has_bias else None
        self.multiply = ops.auto_generate.WeightQuantBatchMatmul(
            transpose_x=False, transpose_weight=True
        )

    @property
    def weight(self) -> Any:
        """What has the dtype of the computation: mindone asks the weights of some layers for it."""
        return self.steps

    def construct(self, x: Any) -> Any:
        rows = x.reshape((-1, self.inputs))  # the kernel takes no more than two axes
        y = self.multiply(rows, self.rows, self.steps, None, None, None, None)
        y = y.reshape((*x.shape[:-1], self.outputs))
        return y if self.bias is None else y + self.bias


def require_kernel(quantize: str | None, dtype: str, device: str) -> None:
    """Refuse weights in 8 bits where no kernel multiplies them.

    Raises:
        InvalidInputError: The device is a CPU, or the dtype is float32.
    """
    if quantize is None:
        return
    if device == "cpu":
        raise InvalidInputError(
            f"quantize={quantize!r}: MindSpore has no product with weights in 8 bits on a CPU: "
            "take backend='jax', or leave quantize out"
        )
    if dtype not in _DTYPES:
        raise InvalidInputError(
            f"quantize={quantize!r}: an NPU multiplies weights in 8 bits in "
            f"{' or '.join(_DTYPES)}, not in {dtype}: give one of these as dtype"
        )


def keep_in_eight_bits(network: Any, class_name: str) -> None:
    """Put layers for weights in 8 bits in the place of a network's linear layers.

    Args:
        network: A network, or a block of it, whose parameters have no values yet.
        class_name: The network's class.
    """
    for path, parent in list(network.cells_and_names()):
        for leaf, cell in list(parent.name_cells().items()):
            name = f"{path}.{leaf}" if path else leaf
            linear = isinstance(cell, nn.Dense | mint.nn.Linear)
            if linear and products_in_eight_bits(class_name, f"{name}.weight", 2):
                made = EightBitLinear(cell)
                parent._cells[leaf] = made
                # MindSpore's compiler wants a name of its own for each parameter.
                made.rows.name = f"{name}.{ROWS}"
                made.steps.name = f"{name}.{STEPS}"
