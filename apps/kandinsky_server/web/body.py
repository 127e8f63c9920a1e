"""Reads the body of a request within its bound, as JSON or as a form."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.fields import PICTURES, Given, read_fields
from kandinsky_server.requests.json_text import read_json_text
from kandinsky_server.requests.uploads import decoded_data_url
from kandinsky_server.settings import ServerSettings

__all__ = ["Body", "digest_of", "read_body"]

_OF_CURL = "application/x-www-form-urlencoded"
"""What `curl -d '{...}'` says that it sends, though it is JSON."""
_MOST_FIELDS = 200


@dataclass(frozen=True, slots=True)
class Body:
    """A body, taken apart.

    Attributes:
        given: The checked fields.
        pictures: Field -> the files.
    """

    given: Given
    pictures: Mapping[str, list[bytes]]


def digest_of(route: str, body: Body) -> str:
    """Return a digest by which a request that is repeated is known.

    It is one of the fields and files, as a form that is sent again has other separators.
    """
    found = hashlib.sha256(json.dumps([route, dict(body.given.values)], sort_keys=True).encode())
    for name, contents in sorted(body.pictures.items()):
        for content in contents:
            found.update(name.encode() + hashlib.sha256(content).digest())
    return found.hexdigest()


async def read_body(
    request: Request, settings: ServerSettings, count: Callable[[int], None] = lambda _: None
) -> Body:
    """Read a request's body.

    Args:
        request: The HTTP request.
        settings: The limits.
        count: Told of the bytes that arrive; it may refuse more of them.

    Raises:
        ApiError: It is too slow (408), too large (413), of another type (415), no JSON or form, or
            has a field that is not allowed (400).
    """
    try:
        async with asyncio.timeout(settings.body_timeout):
            content = await _bounded(request, settings.max_body, count)
    except TimeoutError:
        late = f"the body took more than {settings.body_timeout:g} s to arrive"
        raise ApiError(408, "body_timeout", late) from None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        fields, files = await _form(request, content)
    elif kind in ("application/json", "") or (kind == _OF_CURL and content[:1] == b"{"):
        fields, files = _json(content), {}
    else:
        message = f"Content-Type {kind[:60]}: send application/json or multipart/form-data"
        raise ApiError(415, "unsupported_media_type", message)
    if kind != "multipart/form-data":
        files = _data_urls(fields, settings.max_upload)
    given = read_fields(
        fields, form=kind == "multipart/form-data", ignore_unknown=settings.ignore_unknown_fields
    )
    return Body(given, files)


async def _bounded(request: Request, limit: int, count: Callable[[int], None]) -> bytes:
    """Read the body, and count while reading: its length may be a lie, or missing."""
    length = request.headers.get("content-length", "")
    too_large = ApiError(
        413, "body_too_large", f"the request has more than {limit:,} bytes: send smaller pictures"
    )
    if length.isdecimal() and int(length[:20]) > limit:
        raise too_large
    content = bytearray()
    async for part in request.stream():
        if len(content) + len(part) > limit:
            raise too_large
        count(len(part))
        content += part
    return bytes(content)


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = read_json_text(content or b"{}")
    except ValueError as error:
        raise ApiError(
            400, "invalid_value", f"the body is no good JSON: {str(error)[:200]}"
        ) from error
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
