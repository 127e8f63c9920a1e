"""Keeps which adapters (LoRA) a network has, and what they add to its weights.

A network's weights are always its first weights plus a sum of terms, and never a change of an
earlier sum. So the same adapters with the same weights give the same bits, whatever came before.
What fusing and unloading mean is taken from diffusers and PEFT:

- The adapter that is loaded last is the only active one, until others are chosen.
- While adapters are fused, only they count; whatever else is chosen counts after unfusing.
- To load an adapter unfuses the others. To unload all keeps for ever what is fused then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kandinsky_core.checkpoints.lora import Adapter
from kandinsky_core.errors import InvalidInputError

__all__ = ["AdapterSet", "LoadedAdapter", "Term"]


@dataclass(frozen=True, slots=True)
class LoadedAdapter:
    """One LoRA.

    Attributes:
        layers: Its adapters by the names of the weights that they change.
        label: What the user calls its file.
        weight: Factor of its change.
    """

    layers: Mapping[str, Adapter]
    label: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Term:
    """What one LoRA adds to the weights: its change times `factor`."""

    loaded: LoadedAdapter
    factor: float


@dataclass(frozen=True, slots=True)
class AdapterSet:
    """The adapters of a network; it is never changed, each method returns another one.

    Attributes:
        loaded: The adapters by name, in the order in which they were loaded.
        active: Names of those that were chosen.
        enabled: False while all are switched off.
        fused: Names of those that are fused, and the factors that they had then.
        kept: Terms that were fused when all adapters were unloaded, with their names.
    """

    loaded: Mapping[str, LoadedAdapter] = field(default_factory=dict)
    active: tuple[str, ...] = ()
    enabled: bool = True
    fused: Mapping[str, float] = field(default_factory=dict)
    kept: tuple[tuple[str, Term], ...] = ()

    def terms(self) -> list[Term]:
        """Return what is added to the weights, in an order that depends on loading alone."""
        factors = self.fused or {name: self.loaded[name].weight for name in self.active}
        if not self.enabled:
            factors = {}
        chosen = [Term(self.loaded[name], factors[name]) for name in self.loaded if name in factors]
        kept = [term for _, term in self.kept]
        return [term for term in (*kept, *chosen) if term.factor != 0]

    def free_name(self) -> str:
        """Return a name for an adapter that is given none, as diffusers makes it."""
        numbers = range(len(self.loaded), 2 * len(self.loaded) + 1)
        return next(f"default_{n}" for n in numbers if f"default_{n}" not in self.loaded)

    def with_adapter(self, name: str, adapter: LoadedAdapter, *, swap: bool) -> AdapterSet:
        """Add an adapter and make it the only active one, or put it in the place of another.

        Raises:
            InvalidInputError: The name is taken, or, to swap, it is not.
        """
        if swap:
            self._require([name])
            if name in self.fused:
                raise InvalidInputError(
                    f"hotswap=True: {name} is fused: call unfuse_lora() before it is replaced"
                )
            same = replace(adapter, weight=self.loaded[name].weight)
            return replace(self, loaded={**self.loaded, name: same})
        if name in self.loaded:
            raise InvalidInputError(
                f"adapter_name={name!r} is in use: give another name, call "
                f"delete_adapters({name!r}) first, or give hotswap=True"
            )
        return replace(self, loaded={**self.loaded, name: adapter}, active=(name,), fused={})

    def choose(self, weights: Mapping[str, float]) -> AdapterSet:
        """Make adapters the active ones, with these weights.

        Raises:
            InvalidInputError: There is no such adapter.
        """
        self._require(weights)
        loaded = {
            name: replace(adapter, weight=weights.get(name, adapter.weight))
            for name, adapter in self.loaded.items()
        }
        return replace(self, loaded=loaded, active=tuple(weights))

    def without(self, names: Iterable[str]) -> AdapterSet:
        """Remove adapters; if no active one is left, the first that is left becomes active.

        Raises:
            InvalidInputError: One is fused.
        """
        gone = set(names)
        fused = sorted(gone & set(self.fused))
        if fused:
            raise InvalidInputError(
                f"{', '.join(fused)}: fused adapters cannot be deleted: call unfuse_lora() first, "
                "or unload_lora_weights() to keep the weights as they are"
            )
        left = {name: adapter for name, adapter in self.loaded.items() if name not in gone}
        active = tuple(name for name in self.active if name in left) or tuple(left)[:1]
        return replace(self, loaded=left, active=active)

    def fuse(self, scale: float, names: Sequence[str] | None) -> AdapterSet:
        """Fuse adapters at their weights times a scale, which the active ones keep.

        Args:
            scale: The scale.
            names: The adapters; None takes the active ones.

        Raises:
            InvalidInputError: There is no such adapter, all are switched off, or a scale is given
                for one that is not active or is fused already.
        """
        wanted = self.active if names is None else tuple(names)
        self._require(wanted)
        if not wanted:
            return self
        if not self.enabled:
            raise InvalidInputError("fuse_lora: the adapters are off: call enable_lora() first")
        unfit = [name for name in wanted if name not in self.active or name in self.fused]
        if scale != 1 and unfit:
            raise InvalidInputError(
                f"lora_scale={scale:g} counts for active adapters that are not fused yet, and not "
                f"for {', '.join(unfit)}: call set_adapters or unfuse_lora() first"
            )
        scales = dict.fromkeys(self.active, scale)
        loaded = {
            name: replace(adapter, weight=adapter.weight * scales.get(name, 1.0))
            for name, adapter in self.loaded.items()
        }
        new = {name: loaded[name].weight for name in wanted}
        return replace(self, loaded=loaded, fused={**new, **self.fused})

    def unload(self) -> AdapterSet:
        """Forget all adapters; what is fused stays in the weights for good."""
        kept = tuple(
            (name, Term(self.loaded[name], factor))
            for name, factor in (self.fused if self.enabled else {}).items()
        )
        return AdapterSet(kept=(*self.kept, *kept))

    def fused_names(self) -> set[str]:
        """Return the names of adapters that are fused, or were when all were unloaded."""
        return {*self.fused, *(name for name, _ in self.kept)}

    def _require(self, names: Iterable[str]) -> None:
        missing = [str(name) for name in names if name not in self.loaded]
        if missing:
            there = ", ".join(self.loaded) or "none"
            raise InvalidInputError(
                f"no adapter is called {', '.join(missing)}: loaded are {there}"
            )
