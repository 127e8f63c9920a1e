"""Accounts for every tensor of a checkpoint before any is read.

The tensors that a network expects and those that the files hold must match one to one. Two
exceptions are known: unused tensors (the table of networks says why they are unused), and names
that old files spell differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kandinsky_core.configs.networks import tied_tensors, unused_tensors
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import STORED
from kandinsky_core.seam.tensors import Tensors

__all__ = ["Audit", "account", "audit", "modern_name"]

MAX_NAMES_SHOWN = 8
FLOATING = frozenset(code for code, entry in STORED.items() if entry.floating)

# Names of MoVQ's attention layers in conversions made before May 2023 (diffusers PR #3387).
_LEGACY_ATTENTION = re.compile(r"(.*\.attentions\.\d+\.)(query|key|value|proj_attn)\.(\w+)")
_MODERN = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def modern_name(name: str) -> str:
    """Return the present name of a tensor; most names are the same."""
    match = _LEGACY_ATTENTION.fullmatch(name)
    if match is None:
        return name
    block, layer, leaf = match.groups()
    return f"{block}{_MODERN[layer]}.{leaf}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The account of a checkpoint's tensors.

    Attributes:
        used: The name that the network expects for each tensor to read, in the checkpoint's order.
        ignored: Why each other tensor is left out, by its name.
        fault: All faults in one line; empty where there is none.
    """

    used: Mapping[str, str]
    ignored: Mapping[str, str]
    fault: str


def account(
    network: str, expected: Mapping[str, tuple[int, ...]], tensors: Tensors
) -> Mapping[str, str]:
    """Match the tensors that a network expects with the tensors of a checkpoint.

    Args:
        network: Class name of the network.
        expected: The shape of each parameter by its name, in PyTorch's names and layout.
        tensors: The checkpoint; only its names, shapes and dtypes are read.

    Returns:
        The name that the network expects for each tensor to read, in the checkpoint's order.

    Raises:
        CheckpointError: Tensors are missing, unexpected, of another shape or not floating point.
            One message names them: the first eight of each kind, and how many there are.
    """
    result = audit(network, expected, tensors)
    if result.fault:
        raise CheckpointError(result.fault)
    return result.used


def audit(network: str, expected: Mapping[str, tuple[int, ...]], tensors: Tensors) -> Audit:
    """Do what `account` does, and report faults instead of raising them."""
    unused = unused_tensors(network)
    twins = tied_tensors(network)
    names = list(tensors.names())
    used: dict[str, str] = {}
    ignored: dict[str, str] = {}
    unexpected, misshapen, mistyped = [], [], []
    taken: set[str] = set()
    for name in names:
        modern = modern_name(name)
        if modern not in expected and modern in twins:
            if twins[modern] in names:
                ignored[name] = f"the same as {twins[modern]}"
                continue
            modern = twins[modern]
        if modern not in expected:
            if modern in unused:
                ignored[name] = unused[modern]
            else:
                unexpected.append(name)
            continue
        if modern in taken:
            unexpected.append(f"{name} (a second {modern})")
            continue
        taken.add(modern)
        shape, dtype = tensors.spec(name)
        if tuple(shape) != tuple(expected[modern]):
            misshapen.append(f"{name} {_shown(shape)} for {_shown(expected[modern])}")
        if dtype not in FLOATING:
            mistyped.append(f"{name} {dtype}")
        used[name] = modern
    faults = {
        "missing": [name for name in expected if name not in taken and name not in unused],
        "unexpected": unexpected,
        "of another shape": misshapen,
        "not floating point": mistyped,
    }
    fault = ""
    if any(faults.values()):
        fault = (
            f"{network}: the weights do not fit the config: {_listed(faults)};"
            " use weights and config.json of the same model"
        )
    return Audit(used=used, ignored=ignored, fault=fault)


def _shown(shape: Iterable[int]) -> str:
    return f"[{','.join(str(side) for side in shape)}]"


def _listed(faults: Mapping[str, Sequence[str]]) -> str:
    """Return faults as text: '2 missing (a, b), 1 unexpected (c)'."""
    parts = []
    for kind, names in faults.items():
        if names:
            more = ", ..." if len(names) > MAX_NAMES_SHOWN else ""
            parts.append(f"{len(names)} {kind} ({', '.join(names[:MAX_NAMES_SHOWN])}{more})")
    return ", ".join(parts)
