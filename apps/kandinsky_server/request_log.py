"""One line of JSON for each request that has ended, without prompts unless they are asked for."""

from __future__ import annotations

import json
import logging

from kandinsky_server.work.job import Job

__all__ = ["log_request"]

logger = logging.getLogger("kandinsky_server.requests")


def log_request(job: Job, *, prompts: bool) -> None:
    """Write a job's line.

    Args:
        job: The job, which has ended.
        prompts: Whether the line holds the prompts.
    """
    request = job.request
    facts = {
        "request_id": job.request_id,
        "job_id": job.id,
        "model": request.model,
        "task": request.task,
        "size": f"{request.width}x{request.height}",
        "rows": job.rows,
        "seeds": list(request.seeds),
        "outcome": job.state if job.error is None else job.error.code,
        **{f"{name}_seconds": seconds for name, seconds in job.timings.items()},
    }
    if prompts:
        facts |= {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
    logger.info(json.dumps(facts))
