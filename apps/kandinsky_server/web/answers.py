"""What goes out: pictures and jobs as JSON, and events."""

from __future__ import annotations

import base64
import json
from typing import Any

from kandinsky_server.service import Service
from kandinsky_server.work.job import Event, Job

__all__ = ["image_answer", "job_facts", "picture_url", "sse", "stream_facts"]


def image_answer(job: Job, base_url: str) -> dict[str, Any]:
    """Return the answer of OpenAI's image routes for a completed job."""
    request = job.request
    url = request.response_format == "url"
    data = []
    for index, made in sorted(job.made.items()):
        content = (
            {"url": picture_url(base_url, job, index)}
            if url
            else {"b64_json": base64.b64encode(made.read()).decode()}
        )
        data.append({**content, "seed": made.seed, "revised_prompt": None})
    return {
        "id": job.id,
        "created": int(job.created),
        "model": request.model,
        "data": data,
        "output_format": request.output_format,
        "size": _size(job),
        "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
        "timings": job.timings,
        "warnings": list(request.warnings),
    }


def _size(job: Job) -> str:
    if job.made:
        first = next(iter(job.made.values()))
        return f"{first.width}x{first.height}"
    return f"{job.request.width}x{job.request.height}"


def picture_url(base_url: str, job: Job, index: int) -> str:
    """Return the address of a finished picture."""
    return f"{base_url.rstrip('/')}/v1/images/{job.id}/content?index={index}"


def job_facts(job: Job, service: Service, base_url: str) -> dict[str, Any]:
    """Return all that is told of a job."""
    request = job.request
    done = len(job.made) + (job.step / job.total_steps if job.total_steps else 0) * (
        not job.finished
    )
    share = 1.0 if job.state == "completed" else min(1.0, done / job.rows)
    return {
        "id": job.id,
        "object": "job",
        "status": job.state,
        "created_at": int(job.created),
        "queue_position": service.queue.position(job),
        "task": request.task,
        "model": request.model,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "size": f"{request.width}x{request.height}",
        "seeds": list(request.seeds),
        "settings": {**request.options, "scheduler": request.scheduler, "upscale": request.upscale},
        "lora": dict(request.lora),
        "ip_weights": list(request.ip_weights),
        "ip_scale": request.ip_scale,
        "inputs": {name: len(found) for name, found in request.pictures.items()},
        "mix": [{kind: value, "weight": weight} for kind, value, weight in request.mix],
        "output_format": request.output_format,
        "step": job.step,
        "total_steps": job.total_steps,
        "progress": round(share, 4),
        "eta_seconds": _eta(job, service, share),
        "attempt": job.attempt,
        "images": [
            {
                "index": index,
                "url": picture_url(base_url, job, index),
                "seed": made.seed,
                "width": made.width,
                "height": made.height,
            }
            for index, made in sorted(job.made.items())
        ],
        "timings": job.timings,
        "warnings": list(request.warnings),
        "error": None if job.error is None else job.error.body["error"],
    }


def _eta(job: Job, service: Service, share: float) -> float | None:
    if job.finished:
        return 0.0
    before = service.queue.waiting()
    ahead = before[: before.index(job)] if job in before else []
    own = service.rates.seconds(job.request, job.rows) * (1 - share)
    return round(sum(map(service.seconds_of, ahead)) + own, 2) or None


def sse(kind: str | None, facts: Any, number: int | None = None) -> bytes:
    """Return one server-sent event."""
    head = ("" if number is None else f"id: {number}\n") + (
        "" if kind is None else f"event: {kind}\n"
    )
    return f"{head}data: {json.dumps(facts, ensure_ascii=False)}\n\n".encode()


def stream_facts(job: Job, event: Event, edit: bool) -> tuple[str, dict[str, Any]] | None:
    """Return an event of OpenAI's streams, or None where it has none.

    Several pictures of a request have an `index`, which OpenAI's own events lack.
    """
    prefix = "image_edit" if edit else "image_generation"
    shared = {
        "created_at": int(job.created),
        "size": _size(job),
        "quality": "auto",
        "background": "opaque",
        "output_format": job.request.output_format,
    }
    if event.kind == "preview":
        kind = f"{prefix}.partial_image"
        facts = {
            name: value for name, value in event.facts.items() if name not in ("content", "number")
        }
        content = base64.b64encode(event.facts["content"]).decode()
        number = event.facts["number"]
        return kind, {
            "type": kind,
            **shared,
            **facts,
            "b64_json": content,
            "partial_image_index": number,
        }
    if event.kind == "picture":
        kind = f"{prefix}.completed"
        made = job.made[event.facts["index"]]
        content = base64.b64encode(made.read()).decode()
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return kind, {"type": kind, **shared, **event.facts, "b64_json": content, "usage": usage}
    return None
