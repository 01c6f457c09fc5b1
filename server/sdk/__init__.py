"""All that a plugin may import: the adapter contract, the context of a call, and the errors that say what is next."""

from server.kernel.errors import Failure, Permanent, Postponed, Retryable, Skipped, code
from server.sdk.adapter import Adapter, CallRequest, Endpoint, Health, Operation, Validation, measured
from server.sdk.answers import expect_success, failure_of, read_json, retry_after
from server.sdk.context import Context, Tenant
from server.sdk.headers import FRAMING, IDENTITY
from server.sdk.identity import Identity, identity_of
from server.sdk.mocking import HttpMock, Mock, Received, Reply, Scenario
from server.sdk.schemas import FieldError, Schema

__all__ = [
    "FRAMING",
    "IDENTITY",
    "Adapter",
    "CallRequest",
    "Context",
    "Endpoint",
    "Failure",
    "FieldError",
    "Health",
    "HttpMock",
    "Identity",
    "Mock",
    "Operation",
    "Permanent",
    "Postponed",
    "Received",
    "Reply",
    "Retryable",
    "Scenario",
    "Schema",
    "Skipped",
    "Tenant",
    "Validation",
    "code",
    "expect_success",
    "failure_of",
    "identity_of",
    "measured",
    "read_json",
    "retry_after",
]
