"""Routes for those who run the server: probes, metrics, versions, models, capabilities."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from kandinsky_core.pictures.metadata import versions
from kandinsky_server.build_request import find_model, most_pixels
from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.fields import FIELDS, IGNORED, PICTURES
from kandinsky_server.service import Service
from kandinsky_server.work.job import STATES

__all__ = ["operation_routes"]


def operation_routes(service: Service) -> APIRouter:
    """Return the routes of a service."""
    routes = APIRouter()

    @routes.get("/healthz")
    async def healthz() -> Response:
        """Tell whether the process works."""
        status = "ok" if service.alive else "failed"
        return JSONResponse({"status": status}, 200 if service.alive else 503)

    @routes.get("/readyz")
    async def readyz() -> Response:
        """Tell whether requests are taken."""
        return JSONResponse(service.facts(), 200 if service.ready else 503)

    @routes.get("/version")
    async def version() -> Any:
        """Return the versions that shape the numbers."""
        return versions()

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Return figures for Prometheus."""
        return Response(metrics_text(service), media_type="text/plain; version=0.0.4")

    @routes.get("/v1/models")
    async def models() -> Any:
        """Return the served models."""
        return {"object": "list", "data": [_model(service, name) for name in service.engines]}

    @routes.get("/v1/models/{name:path}")
    async def model(name: str) -> Any:
        """Return a served model."""
        return _model(service, find_model(service.engines, name).name)

    @routes.get("/v1/capabilities")
    async def capabilities() -> Any:
        """Return tasks, defaults, limits and warm shapes: all that a form needs."""
        service.require_ready()
        return _capabilities(service)

    return routes


def metrics_text(service: Service) -> bytes:
    """Return all figures, with those that are only known now."""
    found = service.metrics
    states = Counter(job.state for job in list(service.jobs.values()))
    for state in STATES:
        found.jobs.labels(state).set(states[state])
    found.running.set(states["running"])
    found.waiting.set(len(service.queue))
    found.limit.set(service.queue.limit)
    found.ready.set(service.ready)
    return found.text()


def _model(service: Service, name: str) -> dict[str, Any]:
    created = int(service.started)
    return {"id": name, "object": "model", "created": created, "owned_by": "kandinsky"}


def _capabilities(service: Service) -> dict[str, Any]:
    settings = service.settings
    try:
        models = {
            name: {
                **engine.facts(),
                "loras": list(engine.loras),
                "ip_tasks": list(engine.ip_tasks),
                "max_pixels": most_pixels(settings, engine),
                "tasks": {task: dict(engine.defaults(task)) for task in engine.tasks},
            }
            for name, engine in service.engines.items()
        }
    except Exception as error:
        raise ApiError(503, "not_ready", str(error)[:300], retry_after=5) from error
    return {
        "object": "capabilities",
        "time": int(time.time()),
        "default_model": settings.default_model,
        "models": models,
        "limits": {
            "n": settings.max_n,
            "pixels": settings.max_pixels,
            "upload_bytes": settings.max_upload,
            "upload_pixels": settings.max_upload_pixels,
            "queue": settings.max_queue,
            "timeout": settings.request_timeout,
        },
        "fields": {
            name: {
                "kind": field.kind,
                "about": field.about,
                "low": field.low,
                "high": field.high,
                "choices": list(field.choices),
                "aliases": list(field.aliases),
            }
            for name, field in FIELDS.items()
        },
        "pictures": list(PICTURES),
        "ignored": list(IGNORED),
        "warm_shapes": _warm_shapes(service),
        "cold_shapes": settings.cold_shapes,
        "batch_sizes": list(settings.batch_sizes),
        "output_formats": list(FIELDS["output_format"].choices),
        "versions": versions(),
    }


def _warm_shapes(service: Service) -> list[dict[str, str]]:
    """Return the sizes that are compiled, each once for a task."""
    found = [(model, shape.task, shape.size) for model, shape in service.shapes.warm]
    return [dict(zip(("model", "task", "size"), one, strict=True)) for one in dict.fromkeys(found)]
