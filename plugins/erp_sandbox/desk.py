"""The desk: one transaction of one company, in which a call is worked on, and from which its events leave.

Errors of the database: RECORD_REFUSED and what is our own fault are Permanent, all else is Retryable: nothing was written, or,
with OUTCOME_UNKNOWN, nobody knows.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from plugins.erp_sandbox.tables import CALLS, OUTBOX
from server.sdk import OUTCOME_UNKNOWN, CrossdockError, Permanent, Retryable, code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from server.sdk import CallRequest

    Work = Callable[["Desk", Mapping[str, Any]], dict[str, Any]]

ERP_KEY_REUSED = code("ERP_KEY_REUSED", "The idempotency key has come before, with another input.")
SOURCE = "erp_sandbox"
_UNIQUE = "23505"


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return JSON in which a number is the same as int, float and Decimal: whoever repeats a call may have read it anew."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return {"": str(Decimal(str(value)).normalize())}
    return value


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"


@dataclass
class Desk:
    """An open transaction. `emit` keeps events for its end: they are written with what they tell of, or not at all."""

    connection: Connection
    company: str
    now: datetime
    correlation_id: str
    key: str | None
    new_id: Callable[[str], str] = _new_id
    """`new_id("ord")`: an id of that kind that nothing else has."""
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def locks(self) -> bool:
        """Whether rows can be locked; SQLite has one writer anyway."""
        return self.connection.dialect.name != "sqlite"

    def emit(self, type_: str, subject: str, data: Mapping[str, Any]) -> None:
        """Say what has happened."""
        self.events.append(
            {
                "company": self.company,
                "id": str(uuid.uuid4()),
                "type": type_,
                "subject": subject,
                "time": self.now,
                "data": json.dumps(data),
                "correlation_id": self.correlation_id,
                "cause": self.key,
            }
        )

    def once(self, request: CallRequest, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do the work of a call with a key once; the same again gets the same answer. Whoever comes meanwhile waits.

        Raises:
            Permanent: ERP_KEY_REUSED.

        """
        if self.key is None:
            return work()
        whose = {"company": self.company, "operation": request.operation, "key": self.key}
        fingerprint = _fingerprint(request.input)
        make = sqlite.insert if not self.locks else postgresql.insert
        row = {**whose, "fingerprint": fingerprint, "at": self.now}
        insertion = make(CALLS).values(row).on_conflict_do_nothing().returning(CALLS.c.key)
        mine = self.connection.execute(insertion).first() is not None
        this = [CALLS.c[name] == value for name, value in whose.items()]
        if not mine:
            known = self.connection.execute(select(CALLS.c.fingerprint, CALLS.c.answer).where(*this)).one()
            if known.fingerprint != fingerprint:
                raise Permanent("the key has come before with another input", code=ERP_KEY_REUSED, source=SOURCE)
            answer: dict[str, Any] = json.loads(known.answer)
            return answer
        answer = work()
        self.connection.execute(update(CALLS).where(*this).values(answer=json.dumps(answer)))
        return answer

    def close(self) -> None:
        """Write the events and commit.

        Raises:
            Retryable: OUTCOME_UNKNOWN.

        """
        if self.events:
            self.connection.execute(insert(OUTBOX), self.events)
        try:
            self.connection.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                message = "the connection was lost while committing"
                raise Retryable(message, code=OUTCOME_UNKNOWN, source=SOURCE) from error
            raise


@contextmanager
def named_failures() -> Iterator[None]:
    """Turn errors of the database into ours; no bound value stands in a message."""
    try:
        yield
    except PoolTimeoutError as error:
        raise Retryable("all connections to the database are in use", source=SOURCE) from error
    except IntegrityError as error:
        if not _is_twin(error):
            raise Permanent("the database refuses it: it breaks a rule of its table", source=SOURCE) from error
        # Two made the same at the same moment: when it comes again, one of them finds it.
        raise Retryable("another call has written the same meanwhile", source=SOURCE) from error
    except DBAPIError as error:
        if isinstance(error.orig, CrossdockError):
            raise error.orig from error
        if isinstance(error, DataError | ProgrammingError):
            raise Permanent(f"the database refuses it: {type(error.orig).__name__}", source=SOURCE) from error
        raise Retryable(f"the database does not answer: {type(error.orig).__name__}", source=SOURCE) from error


def _is_twin(error: IntegrityError) -> bool:
    return getattr(error.orig, "sqlstate", None) == _UNIQUE or "UNIQUE constraint" in str(error.orig)
