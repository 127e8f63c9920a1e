"""Makes a pipeline from the components of another one, which keeps them too."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import Any, ClassVar, Self

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.dtypes import chosen_dtype

__all__ = ["FromPipe"]


class FromPipe:
    """Base of the pipelines: `from_pipe` makes one that shares the networks of another."""

    component_names: ClassVar[tuple[str, ...]] = ()
    optional_components: ClassVar[frozenset[str]] = frozenset()
    origin: dict[str, str]

    def __init__(self, **components: Any) -> None: ...

    @classmethod
    def from_pipe(
        cls, pipeline: Any, *, torch_dtype: Any = None, dtype: Any = None, **components: Any
    ) -> Self:
        """Make a pipeline of this class from a loaded one; both share networks, none is copied.

        So what `offload`, `to`, `enable_tiling` and a LoRA do to a network, both pipelines see.

        Args:
            pipeline: The pipeline whose components serve, by their names. `DiffusionPipeline`
                itself makes another one of the same class.
            torch_dtype: The dtype that the networks compute in from now on. As in diffusers, that
                holds for `pipeline` too. None leaves it; there it means float32.
            dtype: Another name for `torch_dtype`.
            **components: Components to take in place of those of `pipeline`, or that it has not: a
                scheduler, or the prior's where it has none.

        Raises:
            InvalidInputError: `pipeline` is no pipeline or lacks a component that this class needs,
                or a name is no component of this class.
            ConfigError: A network is for another task or family.
        """
        if not isinstance(pipeline, FromPipe):
            raise InvalidInputError(
                f"from_pipe takes a pipeline of this library, not a {type(pipeline).__name__}: "
                "load one with from_pretrained"
            )
        made = cls if cls.component_names else type(pipeline)
        chosen = chosen_dtype(dtype, torch_dtype, None, None)
        unknown = sorted(set(components) - set(made.component_names))
        if unknown:
            raise InvalidInputError(
                f"from_pipe does not take {', '.join(unknown)}; "
                f"components of {made.__name__}: {', '.join(made.component_names)}"
            )
        # A component that a model may lack, and lacks, is none that another class could take.
        had = {
            name: part
            for name, part in pipeline.components.items()  # type: ignore[attr-defined]
            if part is not None or name not in pipeline.optional_components
        }
        taken = {name: had[name] for name in made.component_names if name in had} | components
        missing = [
            name
            for name in made.component_names
            if name not in taken and name not in made._optional_components()
        ]
        if missing:
            raise InvalidInputError(
                f"a {type(pipeline).__name__} has no {', '.join(missing)}, which a "
                f"{made.__name__} needs: give {missing[0]}=..."
            )
        pipe: Any = made(**taken)
        pipe._take_over(pipeline, had, taken)
        if dtype is not None or torch_dtype is not None:
            pipe.to(dtype=chosen)
        return pipe  # type: ignore[no-any-return]

    @classmethod
    def _optional_components(cls) -> set[str]:
        """Return the components that the constructor can do without."""
        parameters = signature(cls.__init__).parameters.values()
        return {
            parameter.name for parameter in parameters if parameter.default is not Parameter.empty
        }

    def _take_over(self, other: Any, had: dict[str, Any], taken: dict[str, Any]) -> None:
        """Take over what another pipeline says of the shared components.

        Both share the record of where the weights come from, as a LoRA that one of them loads
        changes the weights of both. Where a network was replaced, there is no such record.
        """
        replaced = [
            name
            for name in had
            if hasattr(had[name], "offload") and name in taken and taken[name] is not had[name]
        ]
        self.origin = {} if replaced else other.origin
