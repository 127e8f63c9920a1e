"""OpenAI's image routes: generations, edits, variations, and the pictures by their address."""

from __future__ import annotations

import asyncio
import contextlib
import io
import zipfile
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.fields import Given
from kandinsky_server.requests.picture_request import TASKS
from kandinsky_server.service import Service
from kandinsky_server.web.answers import image_answer, sse, stream_facts
from kandinsky_server.web.body import Body
from kandinsky_server.web.intake import Intake
from kandinsky_server.web.openapi import body_schema
from kandinsky_server.work.job import Job
from kandinsky_server.work.picture_files import MEDIA_TYPES

__all__ = ["image_routes"]

_KEEP_ALIVE = 15.0
"""Seconds without an event after which a stream gets a comment, for proxies."""


def image_routes(service: Service, intake: Intake) -> APIRouter:
    """Return the routes of a service."""
    routes = APIRouter()

    @routes.post("/v1/images/generations", openapi_extra=body_schema())
    async def generations(request: Request) -> Response:
        """Make pictures of a prompt."""
        return await _answer(service, intake, request, ("text2image", "interpolate"), edit=False)

    @routes.post("/v1/images/edits", openapi_extra=body_schema())
    async def edits(request: Request) -> Response:
        """Change a picture: as a whole, where a mask says, or along a hint."""
        tasks = tuple(task for task in TASKS if task != "text2image")
        return await _answer(service, intake, request, tasks, edit=True)

    @routes.post("/v1/images/variations", openapi_extra=body_schema())
    async def variations(request: Request) -> Response:
        """Make pictures that are like a picture, as Kandinsky's prior sees it."""
        return await _answer(service, intake, request, ("interpolate",), edit=True, variation=True)

    @routes.get("/v1/images/{job_id}/content")
    async def content(job_id: str, index: int = 0) -> Response:
        """Return a finished picture's file."""
        job = service.job(job_id)
        if index not in job.made:
            raise ApiError(404, "job_not_found", f"this job, {job.state}, has no picture {index}")
        try:
            found = await run_in_threadpool(job.made[index].read)
        except OSError as error:
            message = "this picture's file was removed from the server"
            raise ApiError(410, "job_expired", message) from error
        return Response(found, media_type=MEDIA_TYPES[job.request.output_format])

    return routes


async def _answer(
    service: Service,
    intake: Intake,
    request: Request,
    tasks: tuple[str, ...],
    *,
    edit: bool,
    variation: bool = False,
) -> Response:
    checked, idempotency = await intake.take(
        request, lambda body: _with_task(body, tasks, variation)
    )
    job = await run_in_threadpool(
        service.submit,
        checked,
        owned=True,
        idempotency=idempotency,
        request_id=request.state.request_id,
    )
    if checked.stream:
        return _Following(service, job, edit)
    try:
        if await _while_connected(request, job.wait()):
            return await _finished(job, request)
        service.metrics.refused(checked.task, "disconnected")
        return Response(status_code=499)
    finally:
        service.answered(job)


def _with_task(body: Body, tasks: tuple[str, ...], variation: bool) -> Body:
    """Settle the task by the route; a variation is a mix of one picture."""
    values = dict(body.given.values)
    if variation:
        if "image" not in body.pictures:
            raise ApiError(400, "missing_field", "image is missing", param="image")
        values |= {"task": "interpolate", "mix": (("image", 0, 1.0),)}
        values.pop("prompt", None)
    task = values.get("task")
    if task is not None and task not in tasks:
        message = f"task={task}: this route does {', '.join(tasks)}"
        raise ApiError(400, "unsupported_task", message, param="task")
    changed = body.pictures.keys() - {"ip_images"}
    if "img2img" in tasks and not changed:
        raise ApiError(400, "missing_field", "image is missing", param="image")
    if "text2image" in tasks and changed and "mix" not in values:
        raise ApiError.invalid("image", "generations take no pictures: send them to edits")
    return Body(Given(values, body.given.warnings), body.pictures)


async def _while_connected(request: Request, work: Awaitable[None]) -> bool:
    """Wait for some work while the client is there; return whether it still is."""
    doing = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
        return doing.done()
    finally:
        for task in (doing, gone):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _finished(job: Job, request: Request) -> Response:
    if job.error is not None:
        raise job.error
    if job.state != "completed":
        raise ApiError(409, "job_finished", f"the job was {job.state}")
    if job.request.response_format == "file":
        return await run_in_threadpool(_files, job)
    answer = await run_in_threadpool(image_answer, job, str(request.base_url))
    spent = answer["timings"]
    timing = ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in spent.items())
    return JSONResponse(answer, headers={"server-timing": timing})


def _files(job: Job) -> Response:
    """Return the picture itself, or a ZIP of several."""
    form = job.request.output_format
    if len(job.made) == 1:
        return Response(job.made[0].read(), media_type=MEDIA_TYPES[form])
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        for index, made in sorted(job.made.items()):
            archive.writestr(f"{index}-{made.seed}.{form}", made.read())
    return Response(held.getvalue(), media_type="application/zip")


class _Following(StreamingResponse):
    """Sends OpenAI's events of a job; a client that goes cancels it."""

    def __init__(self, service: Service, job: Job, edit: bool) -> None:
        super().__init__(_stream(job, edit), media_type="text/event-stream")
        self._service = service
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # the generator has no part in it: it may never have begun
            self._service.answered(self._job)


async def _stream(job: Job, edit: bool) -> AsyncIterator[bytes]:
    """Yield OpenAI's events of a job."""
    async for event in with_comments(job.events()):
        if event is None:
            yield b": waiting\n\n"
            continue
        if event.kind == "end":
            error = job.error
            if error is None and job.state == "cancelled":
                error = ApiError(409, "job_finished", "the job was cancelled")
            if error is not None:
                yield sse("error", error.body)
            return
        found = stream_facts(job, event, edit)
        if found is not None:
            yield sse(*found)


async def with_comments(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield events, and None after each time of silence."""
    following = asyncio.ensure_future(anext(events, _END))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=_KEEP_ALIVE)
            if not done:
                yield None
                continue
            event = following.result()
            if event is _END:
                return
            yield event
            following = asyncio.ensure_future(anext(events, _END))
    finally:
        following.cancel()


_END: Any = object()
