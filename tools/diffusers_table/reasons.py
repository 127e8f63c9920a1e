"""Why names are refused of which no class of the library speaks itself.

A reason for a name that the library has is an error: `tools.diffusers_table.answers` raises it.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["AUTO", "CALLS", "FIELDS", "LOADING", "NETWORKS", "PIPELINES", "SCHEDULERS", "SCHEDULER_NAMES"]

PIPELINES: Mapping[str, str] = {}
AUTO: Mapping[str, str] = {}
CALLS: Mapping[str, str] = {}
LOADING: Mapping[str, str] = {}
SCHEDULERS: Mapping[str, str] = {}
SCHEDULER_NAMES: Mapping[str, str] = {}
FIELDS: Mapping[str, str] = {}
NETWORKS: Mapping[str, str] = {}
