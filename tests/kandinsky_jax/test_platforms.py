"""Only the form of the platform is traced where a program says what it is for."""

from __future__ import annotations

import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp

from kandinsky_jax.layers.platforms import platform_dependent, tracing_for


def traced(x: jax.Array) -> str:
    def chosen(x: jax.Array) -> jax.Array:
        return platform_dependent(x, cpu=jnp.sin, tpu=jnp.cos, default=jnp.tanh)

    return str(jax.make_jaxpr(chosen)(x))


@pytest.mark.parametrize(("platform", "form"), [("cpu", "sin"), ("tpu", "cos"), ("gpu", "tanh")])
def test_a_known_platform_has_one_form(platform: str, form: str) -> None:
    with tracing_for(platform):
        text = traced(jnp.ones(3))
    assert [name for name in ("sin", "cos", "tanh") if name in text] == [form]


def test_an_unknown_platform_has_all_forms_until_it_is_known() -> None:
    text = traced(jnp.ones(3))
    assert all(name in text for name in ("sin", "cos", "tanh"))
