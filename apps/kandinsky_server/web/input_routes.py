"""The pictures that jobs start from, so that a page can take a job up again."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.service import Service

__all__ = ["input_routes"]


def input_routes(service: Service) -> APIRouter:
    """Return the routes of a service."""
    routes = APIRouter()

    @routes.get("/v1/jobs/{job_id}/inputs/{name}")
    async def inputs(job_id: str, name: str, index: int = 0) -> Response:
        """Return a picture that a job starts from, as PNG; a mask is white where to repaint."""
        found = service.job(job_id).request.pictures.get(name, ())
        if not 0 <= index < len(found):
            raise ApiError(404, "job_not_found", f"this job has no {name[:40]} {index}")
        return Response(found[index], media_type="image/png")

    return routes
