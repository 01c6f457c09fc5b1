"""What stands beside `call` for `resource.list` and `resource.write`, as JSON Schema."""

from __future__ import annotations

from typing import Any

TEXT = r"^[\t\x20-\x7e]*$"
_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_PATH = {
    "type": "string",
    "pattern": r"^/[^\s?#\\]*( [^\s?#\\]*)*$",
    "maxLength": 1024,
    "description": "Below the base URL; `{{ … }}` is filled in.",
}
_EXPRESSION = {"type": "string", "minLength": 1, "maxLength": 500}
_NAME = {"type": "string", "minLength": 1, "maxLength": 100}
_DURATION = {"type": "string", "pattern": "^[1-9][0-9]{0,5}(s|m|h|d)$"}
_QUERY = {
    "type": "object",
    "maxProperties": 100,
    "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "maxItems": 100}]},
}
_HEADERS = {
    "type": "object",
    "maxProperties": 50,
    "propertyNames": {"pattern": "^[A-Za-z0-9-]{1,64}$"},
    "additionalProperties": {"type": "string", "pattern": TEXT, "maxLength": 4096},
}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

_PAGER = {
    "in": {"enum": ["query", "header", "body"], "default": "query"},
    "param": _NAME,
    "size_param": _NAME,
    "size": {"type": "integer", "minimum": 1, "maximum": 10_000},
    "first": {"type": "integer", "minimum": 0},
    "next": _EXPRESSION,
    "next_header": _NAME,
    "fields": {"type": "object", "minProperties": 1, "maxProperties": 5, "additionalProperties": _EXPRESSION},
}
_WINDOW = {
    "from_param": _NAME,
    "to_param": _NAME,
    "begin": {"type": "string", "format": "date-time"},
    "step": {**_DURATION, "default": "1d"},
    "format": {"type": "string", "minLength": 1, "maxLength": 50, "default": "rfc3339"},
}
_SIZED = ("in", "size_param", "size")
_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ()),
    "offset": (("param",), ("first", *_SIZED)),
    "page": (("param",), ("first", *_SIZED)),
    "cursor": (("param",), ("next", "next_header", *_SIZED)),
    "next_url": (("next",), ()),
    "link": ((), ()),
    "keyset": (("fields",), _SIZED),
}
_EXPORT = {
    "start": {
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            "method": {"enum": ["GET", "POST", "PUT"], "default": "POST"},
            "path": _PATH,
            "query": _QUERY,
            "json": {},
        },
    },
    "poll": {
        "type": "object",
        "additionalProperties": False,
        "required": ["path", "status", "done"],
        "properties": {
            "path": _PATH,
            "every": {**_DURATION, "default": "5s"},
            "within": {**_DURATION, "default": "30m"},
            "status": _EXPRESSION,
            "done": {"type": "array", "minItems": 1, "maxItems": 20, "items": _SCALAR},
            "failed": {"type": "array", "maxItems": 20, "items": _SCALAR},
        },
    },
    "download": {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {"path": _PATH, "url": _EXPRESSION},
    },
    "format": {"enum": ["json", "jsonl", "csv"], "default": "json"},
}


def _rules(kinds: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> list[dict[str, Any]]:
    """Say for each kind what it needs and takes, so that the message names the field that is wrong."""
    return [
        {
            "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
            "then": {"required": list(needs), "propertyNames": {"enum": ["kind", *needs, *takes]}},
        }
        for kind, (needs, takes) in kinds.items()
    ]


_PAGES = {
    "type": "object",
    "required": ["kind"],
    "properties": {"kind": {"enum": list(_KINDS)}, **_PAGER},
    "allOf": _rules(_KINDS),
}
_ALL_KINDS = {
    **_KINDS,
    "window": (("from_param", "to_param"), ("begin", "step", "format", "in", "pages")),
    "export": (("start", "poll", "download"), ("format",)),
}
PAGINATION = {
    "type": "object",
    "required": ["kind"],
    "properties": {"kind": {"enum": list(_ALL_KINDS)}, **_PAGER, **_WINDOW, "pages": _PAGES, **_EXPORT},
    "allOf": _rules(_ALL_KINDS),
}
STOP = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "empty_page": {"type": "boolean", "description": "A page without records is the last."},
        "short_page": {"type": "boolean", "description": "A page of fewer records than `size` is the last."},
        "has_more": {**_EXPRESSION, "description": "Leads to false, or nothing, on the last page."},
        "total": {**_EXPRESSION, "description": "Leads to the number of records."},
        "total_pages": {**_EXPRESSION, "description": "Leads to the number of pages."},
        "max_pages": {"type": "integer", "minimum": 1, "maximum": 100_000},
    },
}
SOURCE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path"],
    "properties": {
        "path": _PATH,
        "method": {"enum": ["GET", "POST"], "default": "GET"},
        "query": _QUERY,
        "headers": _HEADERS,
        "json": {"description": "Sent as the body of a POST."},
        "records": {**_EXPRESSION, "description": "JMESPath to the list in the answer; the answer itself by default."},
        "no_records": {
            "enum": ["error", "empty"],
            "default": "error",
            "description": "What it means when `records` leads to nothing.",
        },
        "pagination": PAGINATION,
        "stop": STOP,
        "time_format": {
            "type": "string",
            "minLength": 1,
            "maxLength": 50,
            "default": "rfc3339",
            "description": "How a time is written into `{{ cursor.… }}`: rfc3339, date, epoch, epoch_ms or strftime.",
        },
        "client_filter": {
            "type": "boolean",
            "default": True,
            "description": "Leave rows out that lie outside of the cursor's bounds, whatever the API sends.",
        },
        "delta": {
            "type": "object",
            "additionalProperties": False,
            "description": "An opaque token for the next run; without `param` it is an address.",
            "oneOf": [{"required": ["next"]}, {"required": ["next_header"]}],
            "properties": {"next": _EXPRESSION, "next_header": _NAME, "param": _NAME, "in": _PAGER["in"]},
        },
        "one": {
            "type": "object",
            "additionalProperties": False,
            "required": ["path"],
            "description": "How one record is read; `{{ key.FIELD }}` is its key.",
            "properties": {"path": _PATH, "query": _QUERY, "record": _EXPRESSION},
        },
        "origins": {
            "type": "array",
            "maxItems": 10,
            "items": {"type": "string", "pattern": r"^https?://[^\s/?#@]+$"},
            "description": "Other servers that an answer may send us to; they are not shown who we are.",
        },
    },
}
_REQUEST = {
    "path": _PATH,
    "method": {"enum": _METHODS},
    "query": _QUERY,
    "headers": _HEADERS,
    "body": {"description": "A template of the body; the record itself by default."},
}
_ONE = {"type": "object", "additionalProperties": False, "required": ["path"], "properties": _REQUEST}
TARGET: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path"],
    "not": {"required": ["bulk", "find"]},
    "properties": {
        **_REQUEST,
        "id": {**_EXPRESSION, "default": "id", "description": "Leads to the record's id in the answer."},
        "idempotency_header": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$", "default": "Idempotency-Key"},
        "find": {
            "type": "object",
            "additionalProperties": False,
            "required": ["path"],
            "description": "How the record that is there is found, by the fields of `match_on`; 404 is none.",
            "properties": {
                "path": _PATH,
                "query": _QUERY,
                "records": {**_EXPRESSION, "description": "Leads to the list whose first is meant."},
            },
        },
        "update": {**_ONE, "description": "Changes the record that was found, `{{ found.… }}`."},
        "remove": {**_ONE, "description": "Deletes the record of `{{ record.… }}`."},
        "archive": {**_ONE, "description": "Archives the record of `{{ record.… }}`."},
        "bulk": {
            "type": "object",
            "additionalProperties": False,
            "description": "Many records in one request: as a list, or as a list in `field` of `body`.",
            "properties": {
                "field": _NAME,
                "size": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100},
                "ids": {**_EXPRESSION, "description": "Leads to the ids, in the order of the records."},
                "errors": {**_EXPRESSION, "description": "Leads to a list of {index, message} of those refused."},
            },
        },
    },
}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(duration: str) -> float:
    """Return the seconds of a checked duration such as `5m`."""
    return float(int(duration[:-1]) * SECONDS[duration[-1]])
