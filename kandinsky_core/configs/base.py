"""Turns a network's config.json into a frozen dataclass, by one mechanism for every network.

A field of a config.json is one of four things, and a class says which:
- it varies between models: a dataclass field, with the rule its value must obey;
- it has the same value in every published model, and the networks are written for that value:
  listed in `FIXED` with it;
- it says nothing about inference (bookkeeping, training): listed in `IGNORED`;
- anything else is unknown, and a `ConfigError` names it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from kandinsky_core.configs.rules import Rule, shown
from kandinsky_core.errors import ConfigError

__all__ = ["NetworkConfig", "spec"]


def spec(rule: Rule, default: object = dataclasses.MISSING) -> Any:
    """Declare a dataclass field that obeys `rule`; without a default the file must give it."""
    return dataclasses.field(default=default, metadata={"rule": rule})


class NetworkConfig:
    """The base of all networks' configs.

    Subclasses are `dataclass(frozen=True, kw_only=True, slots=True)`.
    """

    __slots__ = ()

    CLASS_NAME: ClassVar[str]
    FIXED: ClassVar[Mapping[str, object]] = {}
    IGNORED: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> Self:
        """Build the config from a parsed config.json.

        Raises:
            ConfigError: a field is unknown, missing, of the wrong type or out of range, or holds
                a value for which this network is not written. The message names class and field.
        """
        if not isinstance(raw, Mapping):
            raise ConfigError(
                f"{cls.CLASS_NAME}: config is {shown(raw)}; allowed: a JSON object with its fields"
            )
        names = {field.name for field in _fields(cls)}
        cls._refuse_unknown(raw, names)
        for name, allowed in cls.FIXED.items():
            if name in raw and not _equal(raw[name], allowed):
                raise _error(cls.CLASS_NAME, name, raw[name], f"only {allowed!r}")
        missing = [
            field.name
            for field in _fields(cls)
            if field.default is dataclasses.MISSING and field.name not in raw
        ]
        if missing:
            raise ConfigError(
                f"{cls.CLASS_NAME}: config lacks {', '.join(missing)}; add what the model was"
                " built with"
            )
        return cls(**{name: value for name, value in raw.items() if name in names})

    @classmethod
    def _refuse_unknown(cls, raw: Mapping[str, object], names: set[str]) -> None:
        given_class = raw.get("_class_name", cls.CLASS_NAME)
        if given_class != cls.CLASS_NAME:
            raise _error(cls.CLASS_NAME, "_class_name", given_class, f"only {cls.CLASS_NAME!r}")
        known = names | set(cls.FIXED) | cls.IGNORED | {"_class_name"}
        unknown = sorted(shown(name) for name in raw if name not in known)
        if unknown:
            raise ConfigError(
                f"{cls.CLASS_NAME}: unknown config field {', '.join(unknown)}; this version reads"
                " the fields of the published Kandinsky models; remove it if it has no effect"
            )

    # Reading as diffusers' config is read: `config["x"]`, `config.get("x")`, `dict(config)`.

    def __getitem__(self, name: str) -> Any:
        if name == "_class_name":
            return self.CLASS_NAME
        if name in self.FIXED:
            return self.FIXED[name]
        if name not in self.keys():
            raise KeyError(f"{self.CLASS_NAME} has no config field {name!r}")
        return getattr(self, name)

    def __getattr__(self, name: str) -> Any:
        if name in type(self).FIXED:
            return type(self).FIXED[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> tuple[str, ...]:
        """Return the fields' names, those with only one value and `_class_name` among them."""
        return (*(field.name for field in _fields(type(self))), *self.FIXED, "_class_name")

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Return names and values."""
        return tuple((name, self[name]) for name in self.keys())

    def values(self) -> tuple[Any, ...]:
        """Return the values."""
        return tuple(self[name] for name in self.keys())

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field's value, or the default where there is no such field."""
        try:
            return self[name]
        except KeyError:
            return default

    def to_dict(self) -> dict[str, Any]:
        """Return names and values as a dict of its own."""
        return dict(self.items())

    def __post_init__(self) -> None:
        for field in _fields(type(self)):
            object.__setattr__(self, field.name, self._parsed(field, getattr(self, field.name)))
        self._check_together()

    @classmethod
    def check_values(cls, raw: Mapping[str, object]) -> None:
        """Refuse fields whose values no network has; absent fields and unknown ones are left out.

        Raises:
            ConfigError: A value is of another type or out of range.
        """
        for field in _fields(cls):
            if field.name in raw:
                cls._parsed(field, raw[field.name])

    @classmethod
    def _parsed(cls, field: dataclasses.Field[Any], value: object) -> object:
        rule: Rule = field.metadata["rule"]
        try:
            return rule.parse(value)
        except ValueError:
            raise _error(cls.CLASS_NAME, field.name, value, rule.allowed) from None

    def _check_together(self) -> None:
        """Raise `ConfigError` where fields contradict each other."""

    def _refuse(self, name: str, allowed: str) -> ConfigError:
        return _error(self.CLASS_NAME, name, getattr(self, name), allowed)


def _fields(config_class: type[NetworkConfig]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(config_class)  # type: ignore[arg-type]


def _equal(given: object, allowed: object) -> bool:
    # JSON's true is not 1, but Python's equality alone would take one for the other.
    return given == allowed and isinstance(given, bool) == isinstance(allowed, bool)


def _error(class_name: str, name: str, given: object, allowed: str) -> ConfigError:
    return ConfigError(f"{class_name}: config field {name} is {shown(given)}; allowed: {allowed}")
