"""The blueprint that every `api.py` is made of: typed decorators, strict bodies, schemas that refuse what they do not know."""

from __future__ import annotations

import re
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import marshmallow
import orjson
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields, validate
from webargs.core import missing
from webargs.flaskparser import FlaskParser

from server.kernel.clock import rfc3339
from server.store.values import write_json
from server.web import bodies, problems
from server.web.surplus import takes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from flask import Request

    from server.web.openapi import Rooms

_PLAIN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
F = TypeVar("F", bound="Callable[..., Any]")


class Fixed(Schema):
    """Never changed once it is made, so that one stands for all of its copies: the document makes many."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class In(Fixed):
    """What comes in: unknown fields are refused, so that nobody sets what is not theirs to set."""

    class Meta:
        """Refuse what is not declared."""

        unknown = RAISE


class Out(Fixed):
    """What goes out: only what is declared, never a row as it is."""


class Text(fields.String):
    """A text of bounded length without control characters but tab and line ends."""

    def __init__(self, *, most: int = 1000, least: int = 0, **options: Any) -> None:
        bounds = [
            validate.Length(min=least, max=most),
            validate.Regexp(_PLAIN, error="Control characters are not taken."),
        ]
        super().__init__(validate=bounds, **options)


class Pattern(validate.Regexp):
    """The whole text has this form. The pattern has no anchors: the document writes them as JSON Schema reads them, and
    `error` says what is allowed.
    """

    def __init__(self, pattern: str, *, error: str) -> None:
        super().__init__(f"^(?:{pattern})$", error=error)
        self._whole = re.compile(pattern)

    def __call__(self, value: Any) -> Any:
        if self._whole.fullmatch(value) is None:
            raise marshmallow.ValidationError(self._format_error(value))
        return value


class Whole(fields.Integer):
    """A JSON number without a fraction (`3`, `3.0`); a text or a boolean is none. For bodies; queries take Integer."""

    def _validated(self, value: Any) -> Any:
        if isinstance(value, bool | str) or (isinstance(value, float) and not value.is_integer()):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Real(fields.Float):
    """A JSON number; a text or a boolean is none. For bodies."""

    def _validated(self, value: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Flag(fields.Boolean):
    """`true` or `false`, not `"yes"` or `1`. For bodies."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Instant(fields.AwareDateTime):
    """A moment with its zone. For queries and bodies."""

    default_error_messages = dict.fromkeys(
        ("invalid", "invalid_awareness", "format"), "Not a moment with its zone, such as 2026-01-31T08:00:00Z."
    )


class Moment(fields.DateTime):
    """A moment in UTC, written as RFC 3339 with `Z`. For answers only."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return None if value is None else rfc3339(value)


class Json(fields.Raw):
    """Any JSON of ours, written with all its digits. For answers only."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return None if value is None else orjson.Fragment(write_json(value).encode())


class StrictParser(FlaskParser):
    """Reads arguments by `bodies`, refuses unknown query parameters, and raises our Invalid with pointers."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}  # noqa: RUF012 (webargs' type)

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ARG002 (webargs' signature)
        """Return the strict JSON of the body; an empty body is an empty object."""
        return bodies.read_json() if bodies.raw_body() else missing

    def handle_error(self, error: marshmallow.ValidationError, *_: Any, **__: Any) -> NoReturn:
        """Raise Invalid."""
        raise problems.by_location(error.messages_dict) from error


class Room(Blueprint):  # type: ignore[misc]  # flask-smorest is untyped
    """A flask-smorest blueprint with typed decorators. Paths are given whole: `/api/v1/secrets`."""

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, *, description: str) -> None:
        super().__init__(name, __name__, description=description)

    def register_views_in_doc(self, api: Rooms, *args: Any, **options: Any) -> None:
        """Leave the document until it is asked for."""
        api.later(partial(super().register_views_in_doc, api, *args, **options))

    def route(self, rule: str, **options: Any) -> Callable[[F], F]:
        """Register the view below under a path."""
        decorate: Callable[[F], F] = super().route(rule, **options)
        return lambda view: decorate(takes(view))

    def arguments(self, schema: type[Schema] | Schema, **options: Any) -> Callable[[F], F]:
        """Parse body (or `location="query"`) by a schema and hand it to the view as its next positional argument."""
        decorate: Callable[[F], F] = super().arguments(_one(schema), **options)
        place: Literal["query", "json"] = options.get("location", "json")
        return lambda view: takes(decorate(view), place)

    def response(
        self, status_code: int, schema: type[Schema] | Schema | None = None, **options: Any
    ) -> Callable[[F], F]:
        """Dump what the view returns by a schema, with this status."""
        decorate: Callable[[F], F] = super().response(status_code, _one(schema), **options)
        return decorate

    def doc(self, **values: Any) -> Callable[[F], F]:
        """Add to the operation in the OpenAPI document; with a `requestBody` the view reads the body itself."""
        decorate: Callable[[F], F] = Blueprint.doc(**values)
        return (lambda view: takes(decorate(view), "json")) if "requestBody" in values else decorate


def _one(schema: type[Schema] | Schema | None) -> Schema | None:
    return _made(schema) if isinstance(schema, type) else schema


@cache
def _made(schema: type[Schema]) -> Schema:
    return schema()
