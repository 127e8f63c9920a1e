"""An image server for OpenAI's clients, with a page, durable jobs and metrics."""

from __future__ import annotations

from typing import Any

__all__ = ["KandinskyServer", "ServerSettings"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that the settings need no web framework."""
    if name == "KandinskyServer":
        from kandinsky_server.server import KandinskyServer

        return KandinskyServer
    if name == "ServerSettings":
        from kandinsky_server.settings import ServerSettings

        return ServerSettings
    raise AttributeError(f"module {__name__} has no attribute {name}")
