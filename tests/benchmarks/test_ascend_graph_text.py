"""The reader of MindSpore's graphs, on an operator that was written down."""

from __future__ import annotations

from benchmarks.ascend.graph_text import Value, parse
from benchmarks.ascend.reading import count

# Where one shape of a graph is not known, each operator has a line of symbols behind its types.
WITH_SYMBOLS = """\
  %1(CNode_1) = PrimFunc_Pow(%0, Tensor(shape=[], dtype=Float32, value=2)) cnode_attrs: {}
      : (<Tensor[Float32], (1, 128, 32)>, <Tensor[Float32], (), value=...>) -> \
(<Tensor[Float32], (1, 128, 32)>)
      : (S:[1, 128, 32], <null>) -> (S:[1, 128, 32])
      # Fullname with scope: (Default/encoder-T5Stack/norm-T5LayerNorm/Pow-op1)
"""


def test_symbols_of_shapes_leave_the_types_as_they_are() -> None:
    (node,) = parse(WITH_SYMBOLS)
    assert node.inputs == (Value("Float32", (1, 128, 32)), Value("Float32", ()))
    assert node.outputs == (Value("Float32", (1, 128, 32)),)
    assert node.layer == "encoder.norm"
    assert count([node]).wide == ["encoder.norm: Pow"]
