"""Reads the body of a request within its bound, as JSON or as a form."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.fields import PICTURES, Given, read_fields
from kandinsky_server.requests.uploads import decoded_data_url
from kandinsky_server.settings import ServerSettings

__all__ = ["Body", "read_body"]

_DEEPEST = 32
_MOST_FIELDS = 200


@dataclass(frozen=True, slots=True)
class Body:
    """A body, taken apart.

    Attributes:
        given: The checked fields.
        pictures: Field -> the files.
        digest: A digest of all of it, by which a repeated request is known.
    """

    given: Given
    pictures: Mapping[str, list[bytes]]
    digest: str


async def read_body(request: Request, settings: ServerSettings) -> Body:
    """Read a request's body.

    Raises:
        ApiError: It is too slow (408), too large (413), of another type (415), no JSON or form, or
            has a field that is not allowed (400).
    """
    try:
        async with asyncio.timeout(settings.body_timeout):
            content = await _bounded(request, settings.max_body)
    except TimeoutError:
        late = f"the body took more than {settings.body_timeout:g} s to arrive"
        raise ApiError(408, "body_timeout", late) from None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        fields, files = await _form(request, content)
    elif kind in ("application/json", ""):
        fields, files = _json(content), {}
    else:
        message = f"Content-Type {kind[:60]}: send application/json or multipart/form-data"
        raise ApiError(415, "unsupported_media_type", message)
    if kind != "multipart/form-data":
        files = _data_urls(fields, settings.max_upload)
    given = read_fields(
        fields, form=kind == "multipart/form-data", ignore_unknown=settings.ignore_unknown_fields
    )
    return Body(given, files, hashlib.sha256(content).hexdigest())


async def _bounded(request: Request, limit: int) -> bytes:
    """Read the body, and count while reading: its length may be a lie, or missing."""
    length = request.headers.get("content-length", "")
    too_large = ApiError(
        413, "body_too_large", f"the request has more than {limit:,} bytes: send smaller pictures"
    )
    if length.isdigit() and int(length[:20]) > limit:
        raise too_large
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > limit:
            raise too_large
    return bytes(content)


def _json(content: bytes) -> dict[str, Any]:
    def refuse(text: str) -> Any:
        raise ValueError(f"{text} is no number of JSON")

    try:
        found = json.loads(content or b"{}", parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "invalid_value", f"the body is no JSON: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise ApiError(400, "invalid_value", "the body is no JSON object: send {...}")
    if len(found) > _MOST_FIELDS:
        raise ApiError(400, "invalid_value", f"the body has {len(found)} fields: send fewer")
    return found


def _data_urls(fields: dict[str, Any], limit: int) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for name in PICTURES:
        value = fields.pop(name, None)
        if value is None:
            continue
        texts = value if isinstance(value, list) else [value]
        if not texts or len(texts) > 16 or not all(isinstance(text, str) for text in texts):
            raise ApiError.invalid(name, f"{name}: give a data URL, or a list of up to 16")
        found[name] = [decoded_data_url(name, text, limit) for text in texts]
    return found


async def _form(request: Request, content: bytes) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    async def stream() -> Any:
        yield content

    try:
        parser = MultiPartParser(request.headers, stream(), max_files=20, max_fields=_MOST_FIELDS)
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, AssertionError) as error:
        message = f"the form cannot be read: {str(error)[:200]}"
        raise ApiError(400, "invalid_value", message) from error
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    try:
        for given, value in form.multi_items():
            name = given.removesuffix("[]")
            if not isinstance(value, UploadFile):
                fields.setdefault(given, []).append(value)
            elif name in PICTURES:
                files.setdefault(name, []).append(await value.read())
            else:
                known = ", ".join(PICTURES)
                message = f"unknown file field {name[:100]}; known are {known}"
                raise ApiError(400, "unknown_field", message)
    finally:
        await form.close()
    return fields, files
