"""Files as sources and targets of sync jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.files.source import FilesRead, place_of
from plugins.files.target import FilesWrite
from server.sdk import Adapter, CallRequest, Context, Health, first_rows, measured, write_records

if TYPE_CHECKING:
    from collections.abc import Mapping


class FilesAdapter(Adapter):
    """A place with files, which the integration's config names."""

    id = "files"
    version = "1.0.0"
    operations = (FilesRead.operation, FilesWrite.operation)
    sources = (FilesRead(),)
    targets = (FilesWrite(),)

    def execute(self, request: CallRequest, context: Context) -> dict[str, Any]:
        """Return the first rows, or write records."""
        if request.operation == FilesRead.operation.name:
            return first_rows(self.sources[0], request, context)
        return write_records(self.targets[0], request, context)

    def health_check(self, context: Context) -> Health:
        """Look whether the place can be listed."""

        def ask() -> Mapping[str, Any]:
            with place_of(context) as files:
                files.find("*")
            return {}

        return measured(context, ask)
