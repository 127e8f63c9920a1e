"""The reader of compiled programs, on a small program for a TPU that was written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tpu.blocks import bundles
from benchmarks.tpu.compiled_text import Program, parse
from benchmarks.tpu.reading import layer_of, read, total, weight_copies, wide_products

TEXT = (Path(__file__).parent / "data" / "step.hlo").read_text(encoding="utf-8")
KERNEL = 3 * 3 * 64 * 128 * 2  # 64 channels fill half of a tile of 128
PICTURE = 2 * 16 * 16 * 128 * 2
ROWS = 8 * 128 * 4  # float32, or a row of 8 x 128 numbers


@pytest.fixture(scope="module")
def program() -> Program:
    return parse(TEXT)


def test_bytes_go_by_the_memory_that_a_layout_names(program: Program) -> None:
    layers = read(program)
    convolution = layers["conv_in"]
    assert convolution.weights == KERNEL + PICTURE, "both are arguments"
    assert convolution.read == 0, "the kernel lies on the chip when it is multiplied"
    assert convolution.written == PICTURE
    assert layers["conv_out"].read == layers["conv_out"].written == PICTURE
    assert layers["embedding"].weights == 8 * 128 * 2, "a slice is read, not the table"
    assert layers["embedding"].written == 0


def test_an_array_that_is_changed_in_place_moves_only_the_change(program: Program) -> None:
    update = read(program)["rows.update"]
    assert (update.read, update.written) == (ROWS, ROWS)


def test_a_loop_counts_as_often_as_it_runs(program: Program) -> None:
    attention = read(program)["mid_block.attentions.0"]
    assert (attention.operations, attention.cycles) == (5, 500)
    assert (attention.read, attention.written) == (5 * ROWS, 5 * ROWS)
    assert read(program, depth=1)["mid_block"] == attention


def test_what_only_moves_is_counted(program: Program) -> None:
    layers = read(program)
    assert (layers["conv_out"].broadcasts, total(layers).broadcasts) == (1, 2)
    assert layers["linear"].copies == total(layers).copies == 1, "a transpose; no prefetch"
    assert (layers["embedding"].casts, layers["linear"].casts) == (1, 1)
    assert (layers["linear"].collectives, layers["linear"].sent) == (1, ROWS)


def test_copies_of_weights_and_wide_products_are_named(program: Program) -> None:
    assert weight_copies(program) == ["arguments[0]['linear.kernel']"]
    assert wide_products(program) == ["jit(step)/layer:linear/dot_general"]
    sums = total(read(program))
    assert (sums.products, sums.wide) == (2, 1)


def test_the_innermost_layer_counts() -> None:
    assert layer_of("jit(step)/layer:up.0/layer:up.0.norm/mul") == "up.0.norm"
    assert layer_of("jit(step)/...i,io->...o/dot_general") == ""


@pytest.mark.parametrize("text", ["", "HloModule m\n\n%f (a: f32[]) -> f32[] {\n}\n"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no ENTRY computation"):
        parse(text)


def test_the_instructions_of_a_kernel_count_by_their_loops() -> None:
    text = """
2:LH: loop header
 0x2    :  { %s1 = smov 0 }
 0x3 LB: > { %s31 = sadd.s32 1, %s14  ;;  %s35 = sadd.s32 1, %s15 }
 0x4    : > { %p1 = scmp.ge.s32 %s31, 18 }
 0xcf LB: >> { %v19 = vld [vmem:[%s29 + $0x80] sm:$0xff] }
 0xd0   : >> { %v20 = vld [vmem:[%s29] sm:$0xff] }
 0xe31   : > { %p10 = scmp.ge.s32 %s13, 18 }
"""
    assert bundles(text) == {0: 1, 1: 3, 2: 2}
