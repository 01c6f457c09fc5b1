"""All that a plugin may import: the adapter contract, the context of a call, and the errors that say what is next."""

from server.kernel.errors import CrossdockError, Failure, Permanent, Postponed, Retryable, Skipped, code
from server.sdk.adapter import Adapter, CallRequest, Endpoint, Health, Operation, Transaction, Validation, measured
from server.sdk.answers import expect_success, failure_of, read_json, retry_after
from server.sdk.context import Context, Tenant
from server.sdk.files import FileInfo, Files
from server.sdk.headers import FRAMING, IDENTITY
from server.sdk.identity import Identity, identity_of
from server.sdk.mocking import HttpMock, Mock, Received, Reply, Scenario, SourceStage, TargetStage
from server.sdk.outbox import Emitted, Outbox
from server.sdk.positions import as_json, packed, unpacked
from server.sdk.ranges import BlockReader
from server.sdk.sampling import dataset_of, schema_of
from server.sdk.schemas import FieldError, Schema
from server.sdk.sources import (
    BROKEN_ROW,
    CURSOR_MISSING,
    Dataset,
    Key,
    Page,
    ReadRequest,
    Row,
    Source,
    Window,
    first_rows,
    reading,
)
from server.sdk.targets import (
    OUTCOME_UNKNOWN,
    Action,
    Batch,
    Destination,
    EachRecord,
    Mode,
    Target,
    WriteResult,
    one_by_one,
    outcome_unknown,
    write_records,
    writing,
)

__all__ = [
    "BROKEN_ROW",
    "CURSOR_MISSING",
    "FRAMING",
    "IDENTITY",
    "OUTCOME_UNKNOWN",
    "Action",
    "Adapter",
    "Batch",
    "BlockReader",
    "CallRequest",
    "Context",
    "CrossdockError",
    "Dataset",
    "Destination",
    "EachRecord",
    "Emitted",
    "Endpoint",
    "Failure",
    "FieldError",
    "FileInfo",
    "Files",
    "Health",
    "HttpMock",
    "Identity",
    "Key",
    "Mock",
    "Mode",
    "Operation",
    "Outbox",
    "Page",
    "Permanent",
    "Postponed",
    "ReadRequest",
    "Received",
    "Reply",
    "Retryable",
    "Row",
    "Scenario",
    "Schema",
    "Skipped",
    "Source",
    "SourceStage",
    "Target",
    "TargetStage",
    "Tenant",
    "Transaction",
    "Validation",
    "Window",
    "WriteResult",
    "as_json",
    "code",
    "dataset_of",
    "expect_success",
    "failure_of",
    "first_rows",
    "identity_of",
    "measured",
    "one_by_one",
    "outcome_unknown",
    "packed",
    "read_json",
    "reading",
    "retry_after",
    "schema_of",
    "unpacked",
    "write_records",
    "writing",
]
