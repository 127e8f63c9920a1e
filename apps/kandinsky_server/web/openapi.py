"""Describes bodies and errors of the routes in the OpenAPI document, from the table of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kandinsky_server.requests.fields import FIELDS, IGNORED, LARGEST_SEED, PICTURES, Field

__all__ = ["ERRORS", "body_schema"]

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_STATUSES: Mapping[int, str] = {
    400: "A field is wrong",
    401: "A key is missing",
    403: "The request comes from elsewhere",
    404: "There is none of this name",
    405: "The route does something else",
    408: "The body took too long",
    409: "The job has finished",
    410: "The job was removed",
    413: "The body is too large",
    415: "The body is of another type",
    422: "The key belongs to another body",
    429: "The queue is full",
    500: "The pictures could not be made",
    503: "The server starts or ends",
    504: "The deadline is over",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": about, "content": {"application/json": {"schema": _ERROR}}}
    for status, about in _STATUSES.items()
}
"""What every route may answer beside its own answer."""


def body_schema() -> dict[str, Any]:
    """Return `openapi_extra` of a route that takes a request for pictures."""
    fields = {name: _schema(field) for name, field in FIELDS.items()}
    aliases = {alias: fields[name] for name, field in FIELDS.items() for alias in field.aliases}
    ignored = {name: {"description": "It has no effect here."} for name in IGNORED}
    url = {"type": "string", "description": "A data URL: data:image/png;base64,..."}
    urls = {name: _one_or_many(name, url) for name in PICTURES}
    file = {"type": "string", "format": "binary"}
    files = {name: _one_or_many(name, file) for name in PICTURES}
    shared = {**fields, **aliases, **ignored}

    def content(pictures: Mapping[str, Any]) -> dict[str, Any]:
        properties = {**shared, **pictures}
        return {
            "schema": {"type": "object", "properties": properties, "additionalProperties": False}
        }

    kinds = {"application/json": content(urls), "multipart/form-data": content(files)}
    return {"requestBody": {"required": True, "content": kinds}}


def _one_or_many(name: str, one: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a field of pictures; a mask and a hint are one."""
    if name in ("mask", "hint"):
        return one
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": 16}]}


def _schema(field: Field) -> dict[str, Any]:
    return {"description": field.about, **_KINDS[field.kind](field)}


def _number(kind: str, field: Field) -> dict[str, Any]:
    return {"type": kind, "minimum": field.low, "maximum": field.high}


_SEED = {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED}
_WEIGHT = {"type": "number", "minimum": -10, "maximum": 10}
_KINDS: Mapping[str, Any] = {
    "text": lambda field: {"type": "string", "maxLength": int(field.high)},
    "whole": lambda field: _number("integer", field),
    "number": lambda field: _number("number", field),
    "flag": lambda field: {"type": "boolean"},
    "choice": lambda field: {"type": "string", "enum": list(field.choices)},
    "size": lambda field: {"type": "string", "pattern": r"^(auto|[1-9]\d{0,5}x[1-9]\d{0,5})$"},
    "seeds": lambda field: {
        "anyOf": [_SEED, {"type": "array", "items": _SEED, "minItems": 1, "maxItems": 1000}]
    },
    "numbers": lambda field: {
        "anyOf": [_WEIGHT, {"type": "array", "items": _WEIGHT, "maxItems": int(field.high)}]
    },
    "scales": lambda field: {
        "type": "object",
        "minProperties": int(field.low),
        "maxProperties": int(field.high),
        "additionalProperties": _WEIGHT,
    },
    "mix": lambda field: {
        "type": "array",
        "minItems": field.low,
        "maxItems": field.high,
        "items": {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "image": {"type": "integer", "minimum": 0, "maximum": 15},
                "weight": _WEIGHT,
            },
            "additionalProperties": False,
        },
    },
}
