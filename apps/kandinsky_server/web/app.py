"""Puts the routes of a service together to an application."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from kandinsky_core import __version__
from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.service import Service
from kandinsky_server.web.access import Access
from kandinsky_server.web.image_routes import image_routes
from kandinsky_server.web.input_routes import input_routes
from kandinsky_server.web.intake import Intake
from kandinsky_server.web.job_routes import job_routes
from kandinsky_server.web.openapi import ERRORS
from kandinsky_server.web.operation_routes import operation_routes
from kandinsky_server.web.page_routes import page_routes

__all__ = ["make_app"]

logger = logging.getLogger("kandinsky_server")


def make_app(service: Service) -> Any:
    """Return the ASGI application of a service."""
    app = FastAPI(title="Kandinsky", version=__version__, docs_url=None, redoc_url=None)
    intake = Intake(service)
    for taking in (image_routes, job_routes):
        app.include_router(taking(service, intake), responses=ERRORS)
    for looking in (input_routes, operation_routes, page_routes):
        app.include_router(looking(service), responses=ERRORS)

    async def refused(request: Request, error: Any) -> Response:
        if request.method == "POST" and error.status < 500:
            service.metrics.refused("unknown", "busy" if error.status == 429 else "invalid")
        return await _refused(request, error)

    app.add_exception_handler(ApiError, refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failed)
    return Access(app, service.settings, lambda: service.draining)


async def _refused(request: Request, error: Any) -> Response:
    return JSONResponse(error.body, error.status, error.headers)


async def _invalid(request: Request, error: Any) -> Response:
    """Say FastAPI's findings in the form of all other errors."""
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return await _refused(request, ApiError.invalid(name, f"{name}: {first['msg']}"))


async def _http(request: Request, error: Any) -> Response:
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_value")
    found = ApiError(
        error.status_code, code, f"{request.method} {request.url.path}: {error.detail}"
    )
    return JSONResponse(found.body, error.status_code, dict(error.headers or {}))


async def _gone(request: Request, error: Exception) -> Response:
    """End a request whose client left before its body had arrived; nobody reads this."""
    return Response(status_code=499)


async def _failed(request: Request, error: Exception) -> Response:
    logger.error("a request failed", exc_info=error)
    found = ApiError(500, "generation_failed", "the server made a mistake: see its log")
    return JSONResponse(found.body, 500, {"x-should-retry": "false"})
