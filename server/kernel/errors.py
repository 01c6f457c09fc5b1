"""Every failure, named by what happens next, with one shape: code, message, source, details, retryable.

    CrossdockError
    ├── Retryable           worth another try: network, time-out, 5xx, 429 (`after` when the other side says)
    ├── Postponed           not now, and no attempt is counted: breaker open, no token, held
    ├── Permanent           will not be tried again by itself: a dead letter (4xx, mapping, schema, refused address)
    │   └── Skipped         nothing to do, and that is fine: a false `when`
    └── Rejected            the caller must change something; web/ turns the class into a status
        ├── Invalid             422 the content breaks a rule (`details["errors"]` has a pointer each)
        ├── Malformed           400 it cannot even be read
        ├── Unauthenticated     401
        ├── Forbidden           403
        ├── NotFound            404 also for what another workspace owns
        ├── NotAllowed          405
        ├── BodyTimeout         408
        ├── Conflict            409 the state does not allow it
        ├── PreconditionFailed  412 If-Match does not match
        ├── TooLarge            413
        ├── Unsupported         415
        ├── PreconditionMissing 428 If-Match is needed
        ├── TooMany             429 `after` seconds
        ├── Unavailable         503 `after` seconds: a part that we need is away
        └── Looping             508 it has come back too often

Codes are declared beside the code that raises them with `code()`; the reference page is made from `declared_codes()`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODES: dict[str, str] = {}


def code(name: str, meaning: str) -> str:
    """Declare a stable error code with the sentence that its reference page shows.

    Raises:
        ValueError: the same name was declared with another meaning.

    """
    if _CODES.setdefault(name, meaning) != meaning:
        raise ValueError(f"error code {name} is declared twice")
    return name


def declared_codes() -> dict[str, str]:
    """Return every declared code and its meaning, sorted by name."""
    return dict(sorted(_CODES.items()))


INTERNAL = code("INTERNAL", "Something broke inside Crossdock; the log has the request id.")
INVALID = code("INVALID", "The content breaks a rule; `errors` names each place.")
NOT_FOUND = code("NOT_FOUND", "There is no such thing in this workspace.")
CONFLICT = code("CONFLICT", "The present state does not allow this.")


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, as attempts, dead letters, problem+json and logs carry it.

    `source` is the part that failed (`delivery`, `http`, `mapping`, `integration/erp`, …); `details` is JSON.
    """

    code: str
    message: str
    source: str = "crossdock"
    details: dict[str, Any] = field(default_factory=dict)
    retryable: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the failure as a JSON object."""
        return asdict(self)


def sentence(failure: Mapping[str, Any]) -> str:
    """Write a failure that was kept as one line for a person: what is wrong and, in a map, where: `lines.0.sku: a value is …`."""
    pointer = (failure.get("details") or {}).get("pointer")
    place = ".".join(str(each) for each in pointer) if isinstance(pointer, list) else ""
    return f"{place}: {failure['message']}" if place else str(failure["message"])


class CrossdockError(Exception):
    """The one root. `code` and `source` have a default per class, so that raising one needs only a sentence."""

    default_code = INTERNAL
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        source: str = "crossdock",
        after: float | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.source = source
        self.after = after
        self.details = details

    @property
    def failure(self) -> Failure:
        """The one shape of this error."""
        return Failure(self.code, self.message, self.source, self.details, self.retryable)


class Retryable(CrossdockError):
    """Worth another try; `after` (seconds) when the other side asked for a pause."""

    default_code = code("UPSTREAM_FAILED", "The other system failed in a way that may pass.")
    retryable = True


class Postponed(CrossdockError):
    """Not now; no attempt is counted."""

    default_code = code("POSTPONED", "The work waits; no attempt was counted.")
    retryable = True


class Permanent(CrossdockError):
    """Will not be tried again by itself."""

    default_code = code("UPSTREAM_REFUSED", "The other system refused; the same again would be refused again.")


class Skipped(Permanent):
    """Nothing to do."""

    default_code = code("SKIPPED", "The definition says that there is nothing to do for this one.")


class Rejected(CrossdockError):
    """The caller must change something."""

    default_code = INVALID


class Invalid(Rejected):
    """The content breaks a rule."""


class Malformed(Rejected):
    """The content cannot be read."""

    default_code = code("MALFORMED", "The content cannot be read in the format that it claims.")


class Unauthenticated(Rejected):
    """Nobody we know."""

    default_code = code("UNAUTHENTICATED", "A valid token is needed: `Authorization: Bearer TOKEN`.")


class Forbidden(Rejected):
    """Known, but not allowed to."""

    default_code = code("FORBIDDEN", "The role of this token lacks the permission that the answer names.")


class NotFound(Rejected):
    """Not here, or not yours."""

    default_code = NOT_FOUND


class NotAllowed(Rejected):
    """The resource has no such method."""

    default_code = code("METHOD_NOT_ALLOWED", "The resource exists but does not take this method.")


class BodyTimeout(Rejected):
    """A body that did not come."""

    default_code = code("REQUEST_TIMEOUT", "The body did not come in time.")
    retryable = True


class Conflict(Rejected):
    """The present state does not allow it."""

    default_code = CONFLICT


class PreconditionFailed(Rejected):
    """If-Match does not match."""

    default_code = code("VERSION_CONFLICT", "The thing has changed since it was read; read it again and repeat.")


class PreconditionMissing(Rejected):
    """If-Match is needed."""

    default_code = code("IF_MATCH_REQUIRED", "This write needs If-Match with the ETag that was read.")


class TooLarge(Rejected):
    """More bytes than are taken."""

    default_code = code("TOO_LARGE", "The body is larger than is taken here; the limit is in `details`.")


class Unsupported(Rejected):
    """A content type or encoding that is not taken."""

    default_code = code("UNSUPPORTED_MEDIA_TYPE", "This content type or encoding is not taken here.")


class TooMany(Rejected):
    """Too fast."""

    default_code = code("RATE_LIMITED", "Too many requests; `Retry-After` says when to come again.")
    retryable = True


class Unavailable(Rejected):
    """A part that we need is away."""

    default_code = code("UNAVAILABLE", "A part that this needs is away for now; `Retry-After` says when to come again.")
    retryable = True


class Looping(Rejected):
    """It has come back to us too often."""
