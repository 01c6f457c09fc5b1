"""Talks to SQL databases through engines of `context.sql`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.sql.connecting import reading
from plugins.sql.reading import QueryRead
from plugins.sql.writing import TableWrite
from server.sdk import Adapter, CallRequest, Context, Health, Validation, first_rows, measured, write_records

if TYPE_CHECKING:
    from collections.abc import Mapping

_READ = QueryRead()
_WRITE = TableWrite()


class SqlAdapter(Adapter):
    """One integration is one database."""

    id = "sql"
    version = "1.0.0"
    operations = (QueryRead.operation, TableWrite.operation)
    sources = (_READ,)
    targets = (_WRITE,)

    def validate(self, request: CallRequest) -> Validation:
        """Refuse also SQL that is not one statement that reads, and parameters that do not fit it."""
        result = super().validate(request)
        if not result.is_valid:
            return result
        given = request.input
        if request.operation == QueryRead.operation.name:
            return Validation(tuple(_READ.problems(given)))
        return Validation(tuple(_WRITE.problems(given, given.get("match_on", ()), given["mode"])))

    def execute(self, request: CallRequest, context: Context) -> dict[str, Any]:
        """Read the first rows, or write a list of records."""
        if request.operation == QueryRead.operation.name:
            return first_rows(_READ, request, context)
        return write_records(_WRITE, request, context)

    def health_check(self, context: Context) -> Health:
        """Ask the database for nothing."""

        def ask() -> Mapping[str, Any]:
            with reading(context) as connection:
                connection.exec_driver_sql("SELECT 1").scalar()
                version = connection.dialect.server_version_info or ()
                return {"database": connection.dialect.name, "version": ".".join(map(str, version))}

        return measured(context, ask)
