"""Routes of jobs: submit, list, look, follow, cancel, remove."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.service import Service
from kandinsky_server.web.answers import job_facts, sse
from kandinsky_server.web.image_routes import with_comments
from kandinsky_server.web.intake import Intake
from kandinsky_server.web.openapi import body_schema
from kandinsky_server.work.job import STATES, Job

__all__ = ["job_routes"]

_MOST = 500
"""Jobs of one answer."""


def job_routes(service: Service, intake: Intake) -> APIRouter:
    """Return the routes of a service."""
    routes, found = APIRouter(), _JobRoutes(service, intake)
    one = "/v1/jobs/{job_id}"
    routes.add_api_route(
        "/v1/jobs", found.submit, methods=["POST"], status_code=202, openapi_extra=body_schema()
    )
    for path, call, method in (
        ("/v1/jobs", found.listed, "GET"),
        (one, found.look, "GET"),
        (f"{one}/events", found.follow, "GET"),
        (f"{one}/cancel", found.cancel, "POST"),
        (one, found.remove, "DELETE"),
    ):
        routes.add_api_route(path, call, methods=[method], response_model=None)
    return routes


class _JobRoutes:
    """The routes' functions."""

    def __init__(self, service: Service, intake: Intake) -> None:
        self._service = service
        self._intake = intake

    def _facts(self, request: Request, job: Job) -> dict[str, Any]:
        return job_facts(job, self._service, str(request.base_url))

    async def submit(self, request: Request) -> Response:
        """Queue a request that goes on when its client has gone."""
        checked, idempotency = await self._intake.take(request)
        job = await run_in_threadpool(
            self._service.submit,
            checked,
            owned=False,
            idempotency=idempotency,
            request_id=request.state.request_id,
        )
        location = {"Location": f"/v1/jobs/{job.id}"}
        return JSONResponse(self._facts(request, job), 202, location)

    async def listed(
        self, request: Request, status: str | None = None, limit: int = 50, after: str | None = None
    ) -> Any:
        """Return jobs, the newest first."""
        if status is not None and status not in STATES:
            raise ApiError.invalid("status", f"status={status[:40]}: one of {', '.join(STATES)}")
        if not 1 <= limit <= _MOST:
            raise ApiError.invalid("limit", f"limit={limit}: from 1 to {_MOST}")
        jobs = [  # in the order in which they came, whatever the clock said
            job
            for job in reversed(list(self._service.jobs.values()))
            if not job.owned and status in (None, job.state)
        ]
        if after is not None:
            ids = [job.id for job in jobs]
            jobs = jobs[ids.index(after) + 1 :] if after in ids else []
        data = [self._facts(request, job) for job in jobs[:limit]]
        return {"object": "list", "data": data, "has_more": len(jobs) > limit}

    async def look(self, request: Request, job_id: str) -> Any:
        """Return what has become of a job."""
        return self._facts(request, self._service.job(job_id))

    async def follow(self, request: Request, job_id: str) -> Response:
        """Follow a job; `Last-Event-ID` goes on where a stream broke off."""
        job = self._service.job(job_id)
        after = request.headers.get("last-event-id", "0")
        number = int(after[:15]) if after.isdecimal() else 0
        if job.over_after(number):
            return Response(status_code=204)  # tells a browser to follow no longer
        events = _events(job, number, lambda: self._facts(request, job))
        return StreamingResponse(events, media_type="text/event-stream")

    async def cancel(self, request: Request, job_id: str) -> Any:
        """Stop a job, before it begins or between two of its steps."""
        return self._facts(request, self._service.cancel(job_id))

    async def remove(self, job_id: str) -> Any:
        """Cancel a job, or remove a finished one with its pictures."""
        await run_in_threadpool(self._service.delete, job_id)
        return {"id": job_id, "object": "job", "deleted": True}


async def _events(job: Job, after: int, look: Callable[[], Any]) -> AsyncIterator[bytes]:
    async for event in with_comments(job.events(after)):
        if event is None:
            yield b": waiting\n\n"
            continue
        facts = dict(event.facts)
        if event.kind == "preview":
            facts["b64_json"] = base64.b64encode(facts.pop("content")).decode()
        if event.kind == "end":
            facts = look()
        yield sse(event.kind, facts, event.number)
