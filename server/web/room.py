"""The blueprint that every `api.py` is made of: typed decorators, strict bodies, schemas that refuse what they do not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import marshmallow
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields, validate
from webargs.core import missing
from webargs.flaskparser import FlaskParser

from server.kernel.clock import rfc3339
from server.web import bodies, problems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from flask import Request

F = TypeVar("F", bound="Callable[..., Any]")


class In(Schema):
    """What comes in: unknown fields are refused, so that nobody sets what is not theirs to set."""

    class Meta:
        """Refuse what is not declared."""

        unknown = RAISE


class Out(Schema):
    """What goes out: only what is declared, never a row as it is."""


class Text(fields.String):
    """A text of bounded length without control characters but tab and line ends."""

    def __init__(self, *, most: int = 1000, least: int = 0, **options: Any) -> None:
        super().__init__(validate=validate.Length(min=least, max=most), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **options)
        if any(
            (each < " " and each not in "\t\n\r") or each == "\x7f" or "\ud800" <= each <= "\udfff" for each in text
        ):
            raise marshmallow.ValidationError("Control characters are not taken here.")
        return text


class Moment(fields.DateTime):
    """A moment in UTC, written as RFC 3339 with `Z`. For answers only."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return None if value is None else rfc3339(value)


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

    def route(self, rule: str, **options: Any) -> Callable[[F], F]:
        """Register the view below under a path."""
        decorate: Callable[[F], F] = super().route(rule, **options)
        return decorate

    def arguments(self, schema: type[Schema] | Schema, **options: Any) -> Callable[[F], F]:
        """Parse body (or `location="query"`) by a schema and hand it to the view as its next positional argument."""
        decorate: Callable[[F], F] = super().arguments(schema, **options)
        return decorate

    def response(
        self, status_code: int, schema: type[Schema] | Schema | None = None, **options: Any
    ) -> Callable[[F], F]:
        """Dump what the view returns by a schema, with this status."""
        decorate: Callable[[F], F] = super().response(status_code, schema, **options)
        return decorate

    def doc(self, **values: Any) -> Callable[[F], F]:
        """Add to the operation in the OpenAPI document."""
        decorate: Callable[[F], F] = Blueprint.doc(**values)
        return decorate
