"""Routes of jobs: submit, list, look, follow, cancel, remove."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.service import Service
from kandinsky_server.web.answers import job_facts, sse
from kandinsky_server.web.body import read_body
from kandinsky_server.web.image_routes import with_comments
from kandinsky_server.work.job import Job

__all__ = ["job_routes"]

_STATES = ("queued", "compiling", "running", "completed", "failed", "cancelled")


def job_routes(service: Service) -> APIRouter:
    """Return the routes of a service."""
    routes = APIRouter()

    @routes.post("/v1/jobs", status_code=202)
    async def submit(request: Request) -> Response:
        """Queue a request that goes on when its client has gone."""
        service.require_ready()
        body = await read_body(request, service.settings)
        checked = await run_in_threadpool(service.request, body.given, body.pictures)
        key = request.headers.get("idempotency-key")
        idempotency = None if key is None else (key[:255], body.digest)
        job = await run_in_threadpool(service.submit, checked, owned=False, idempotency=idempotency)
        facts = job_facts(job, service, str(request.base_url))
        return JSONResponse(facts, 202, {"Location": f"/v1/jobs/{job.id}"})

    @routes.get("/v1/jobs")
    async def listed(
        request: Request, status: str | None = None, limit: int = 50, after: str | None = None
    ) -> Any:
        """Return jobs, the newest first."""
        if status is not None and status not in _STATES:
            raise ApiError.invalid("status", f"status={status[:40]}: one of {', '.join(_STATES)}")
        if not 1 <= limit <= 500:
            raise ApiError.invalid("limit", f"limit={limit}: from 1 to 500")
        jobs = sorted(service.jobs.values(), key=lambda job: (job.created, job.id), reverse=True)
        jobs = [job for job in jobs if not job.owned and status in (None, job.state)]
        if after is not None:
            ids = [job.id for job in jobs]
            jobs = jobs[ids.index(after) + 1 :] if after in ids else []
        base = str(request.base_url)
        return {
            "object": "list",
            "data": [job_facts(job, service, base) for job in jobs[:limit]],
            "has_more": len(jobs) > limit,
        }

    @routes.get("/v1/jobs/{job_id}")
    async def look(request: Request, job_id: str) -> Any:
        """Return what has become of a job."""
        return job_facts(service.job(job_id), service, str(request.base_url))

    @routes.get("/v1/jobs/{job_id}/events")
    async def follow(request: Request, job_id: str) -> Response:
        """Follow a job; `Last-Event-ID` goes on where a stream broke off."""
        job = service.job(job_id)
        after = request.headers.get("last-event-id", "0")
        number = int(after[:15]) if after.isdigit() else 0
        return StreamingResponse(
            _events(job, number, service, str(request.base_url)), media_type="text/event-stream"
        )

    @routes.post("/v1/jobs/{job_id}/cancel")
    async def cancel(request: Request, job_id: str) -> Any:
        """Stop a job, before it begins or between two of its steps."""
        job = service.cancel(job_id)
        return job_facts(job, service, str(request.base_url))

    @routes.delete("/v1/jobs/{job_id}")
    async def remove(job_id: str) -> Any:
        """Cancel a job, or remove a finished one with its pictures."""
        await run_in_threadpool(service.delete, job_id)
        return {"id": job_id, "object": "job", "deleted": True}

    return routes


async def _events(job: Job, after: int, service: Service, base_url: str) -> AsyncIterator[bytes]:
    import base64

    async for event in with_comments(job.events(after)):
        if event is None:
            yield b": waiting\n\n"
            continue
        facts = event.facts
        if event.kind == "preview":
            content = base64.b64encode(facts["content"]).decode()
            facts = {**{k: v for k, v in facts.items() if k != "content"}, "b64_json": content}
        if event.kind == "end":
            facts = job_facts(job, service, base_url)
        yield sse(event.kind, facts, event.number)
