"""What `kandinsky env` tells of a machine, each fact by a function of its own."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kandinsky_core.files import why_not
from kandinsky_core.memory.call_size import host_size
from kandinsky_core.memory.plan import readable_size
from kandinsky_core.pictures.metadata import versions

__all__ = ["FACTS", "environment", "told"]

# Beside those that a picture's metadata holds.
_PACKAGES = (
    *("pillow", "safetensors", "huggingface_hub", "tokenizers", "ml_dtypes", "pyyaml", "tqdm"),
    *("jax-cuda12-plugin", "jax-cuda13-plugin", "jax-rocm7-plugin", "jax-metal", "libtpu"),
    *("torch", "transformers", "diffusers", "accelerate"),
)
# Instructions of a processor that decide which kernels run: x86, then ARM.
_FLAGS = (
    *("avx", "avx2", "fma", "f16c", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni"),
    *("amx_tile", "amx_bf16", "amx_int8", "asimd", "asimdhp", "fphp", "bf16", "i8mm", "sve"),
)
_VARIABLES = re.compile(
    r"(KANDINSKY|JAX|XLA|TF_CPP|HF|HUGGING_?FACE|TRANSFORMERS|MS|MINDSPORE|ASCEND|GLOG|HCCL|RANK"
    r"|CUDA|NVIDIA|NCCL|ROCR|HIP|TPU|LIBTPU|OMP|MKL|OPENBLAS|PYTORCH|LC)_.+"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|PYTHONPATH|PYTHONHOME|PYTHONWARNINGS|XDG_CACHE_HOME|TMPDIR|LANG"
    r"|(HTTPS?|ALL|NO)_PROXY"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASS|KEY|CREDENTIAL|AUTH|COOKIE")
_HIDDEN = "set, but not shown"


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that matter here, without what must not reach a bug report.

    A value is left out where the variable's name speaks of a secret. From the others the names and
    passwords in URLs are taken, and what follows a URL's question mark.
    """
    found = {}
    for name, value in sorted(variables.items()):
        if _VARIABLES.fullmatch(name.upper()):
            found[name] = _HIDDEN if _SECRET.search(name.upper()) else _without_secrets(value)
    return found


def _without_secrets(value: str) -> str:
    value = re.sub(r"(://)[^/\s]*@", r"\1...@", value)
    return re.sub(r"(://[^\s?]*\?)\S*", r"\1...", value)


def told(fact: Callable[[], Any]) -> Any:
    """Return a fact; where the machine does not give it, say why instead.

    A report is made where something is broken, so nothing that fails may end it.
    """
    try:
        return fact()
    except Exception as error:  # noqa: BLE001
        return f"cannot be told ({' '.join(why_not(error).split())})"


def _versions() -> dict[str, str]:
    found = versions()
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _system() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _processor() -> dict[str, Any]:
    lines = _lines_of("/proc/cpuinfo")
    flags = set((lines.get("flags") or lines.get("Features") or "").split())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "model": lines.get("model name") or platform.processor() or "unknown",
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "instructions": [flag for flag in _FLAGS if flag in flags],
    }


def _memory() -> dict[str, Any]:
    total = host_size()
    free = _lines_of("/proc/meminfo").get("MemAvailable")
    limit = _text_of("/sys/fs/cgroup/memory.max").strip()
    return {
        "total": None if total is None else readable_size(total),
        "available": readable_size(int(free.split()[0]) * 1024) if free else None,
        "limit_of_container": readable_size(int(limit)) if limit.isdecimal() else None,
    }


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system than Linux
        return ""


def _lines_of(path: str) -> dict[str, str]:
    """Return the first value of each name in a file of lines `name: value`."""
    found: dict[str, str] = {}
    for line in _text_of(path).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _caches() -> dict[str, Any]:
    from huggingface_hub.constants import HF_HUB_CACHE

    folders: dict[str, Any] = {"hub": HF_HUB_CACHE}
    for name, folder in _program_folders():
        folders[f"compiled_programs_{name}"] = folder
    return {name: told(partial(_folder, folder)) for name, folder in folders.items()}


def _program_folders() -> Iterator[tuple[str, Any]]:
    from kandinsky_core.seam.registry import available_backends, get_backend

    for name in available_backends():
        folder = get_backend(name).cache_folder
        if folder is not None:
            yield name, folder


def _folder(place: Any) -> dict[str, Any]:
    """Return where a cache is, and its size where it is a folder."""
    folder = Path(place)
    if not folder.is_dir():
        return {"place": str(place), "size": None}
    free = shutil.disk_usage(folder).free
    return {"place": str(place), "size": readable_size(_size(folder)), "free": readable_size(free)}


def _size(folder: Path) -> int:
    """Return the bytes of a folder's files; links count for nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                found = Path(place, name).lstat()
            except OSError:  # removed meanwhile
                continue
            total += 0 if Path(place, name).is_symlink() else found.st_size
    return total


def _backends() -> dict[str, Any]:
    from kandinsky_core.seam.registry import backend_reports, environment_problem

    found: dict[str, Any] = {}
    for report in backend_reports():
        described = asdict(report)
        found[described.pop("name")] = described
    problem = environment_problem()
    return found if problem is None else {"problem": problem, **found}


FACTS: Mapping[str, Callable[[], Any]] = {
    "versions": _versions,
    "system": _system,
    "processor": _processor,
    "memory": _memory,
    "environment": lambda: environment(os.environ),
    "backends": _backends,
    "caches": _caches,
}
"""Name -> function; the last ones load the frameworks, which may end the process."""
