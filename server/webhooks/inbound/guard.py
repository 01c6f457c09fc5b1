"""The stale-write guard: of each subject of a webhook the newest version that was seen; what is older does not go on.

Whoever publishes takes the lock of its subjects first, all in one order, so that workers that race decide one after the other.
An equal version goes on: it is no older, and two requests may tell of one change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from server.kernel.clock import parse_rfc3339
from server.kernel.errors import Permanent, code
from server.mapping.decimals import parse_number
from server.mapping.values import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from server.store import Tx

Kind = Literal["number", "time", "text"]
Key = tuple["UUID", str]
VERSION_UNUSABLE = code(
    "VERSION_UNUSABLE", "The version of a request is a number, an RFC 3339 time or a text; this is none."
)
VERSION_KIND = code(
    "VERSION_KIND",
    "The version is of another kind than the one seen before: a number, a time and a text do not compare.",
)
_LONGEST = 256
_MOST_DIGITS = 64
_LOCK = """
INSERT INTO inbound_versions AS v (workspace_id, webhook_id, subject, kind, version, request_id)
SELECT DISTINCT ON (webhook_id, subject) %(workspace)s::bigint, webhook_id, subject, kind, version, request_id
FROM unnest(%(webhooks)s::uuid[], %(subjects)s::text[], %(kinds)s::text[], %(versions)s::text[], %(requests)s::uuid[])
  WITH ORDINALITY AS n(webhook_id, subject, kind, version, request_id, no)
ORDER BY webhook_id, subject, no
ON CONFLICT (webhook_id, subject) DO UPDATE SET kind = v.kind
RETURNING webhook_id, subject, kind, version, request_id
"""


@dataclass(frozen=True, slots=True)
class Version:
    """A version: its kind, its text as it is kept, and what it is compared by."""

    kind: Kind
    text: str
    value: Any

    def older_than(self, other: Version) -> bool:
        """Tell whether the other one, of the same kind, is newer."""
        older: bool = self.value < other.value
        return older


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that wants to go on with a version of a subject."""

    webhook_id: UUID
    subject: str
    version: Version
    request_id: UUID


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it goes on; if not, the version that was seen before it. `mixed`: the two do not compare."""

    goes: bool
    seen: Version | None = None
    seen_in: UUID | None = None
    mixed: bool = False


def version_of(value: Any) -> Version:
    """Read a version: numbers, also written as text, before times before other text.

    Raises:
        Permanent: VERSION_UNUSABLE.

    """
    if isinstance(value, str) and 0 < len(value) <= _LONGEST and "\x00" not in value:
        number = parse_number(value)
        if number is not None:
            return _number(Decimal(number))
        try:
            moment = parse_rfc3339(value)
        except ValueError:
            return Version("text", value, value)
        return Version("time", moment.isoformat(timespec="microseconds"), moment)
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return _number(Decimal(str(value)))
    raise Permanent(
        f"a version is a number, a time or a text of 1 to {_LONGEST} characters, not {_a(value)}",
        code=VERSION_UNUSABLE,
        source="mapping",
        pointer=["version"],
    )


def _number(number: Decimal) -> Version:
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS or len(number.as_tuple().digits) > _MOST_DIGITS:
        raise Permanent(
            f"a version has at most {_MOST_DIGITS} digits", code=VERSION_UNUSABLE, source="mapping", pointer=["version"]
        )
    return Version("number", format(number, "f"), number)


def _a(value: Any) -> str:
    return (
        "a long or empty text" if isinstance(value, str) else f"a {kind_of(value)}" if value is not None else "nothing"
    )


def kept(kind: Kind, text: str) -> Version:
    """Return a version as it was kept."""
    if kind == "number":
        return Version(kind, text, Decimal(text))
    if kind == "time":
        return Version(kind, text, datetime.fromisoformat(text).astimezone(UTC))
    return Version(kind, text, text)


def decide(tx: Tx, asked: Iterable[Asked]) -> dict[tuple[UUID, str], Verdict]:
    """Let requests go on or not, in the order given, and remember the newest; the answer is by (request, subject).

    The subjects stay locked until commit: whoever comes with the same one waits, and sees what was decided here.
    """
    wanted = list(asked)
    if not wanted:
        return {}
    seen = _lock(tx, wanted)
    before = dict(seen)
    verdicts = {}
    for each in wanted:
        key = (each.webhook_id, each.subject)
        known, of = seen[key]
        verdict = _verdict(each, known, of)
        if verdict.goes and (known.older_than(each.version) or of == each.request_id):
            seen[key] = (each.version, each.request_id)
        verdicts[each.request_id, each.subject] = verdict
    _keep(tx, {key: value for key, value in seen.items() if value != before[key]})
    return verdicts


def _verdict(asked: Asked, known: Version, of: UUID) -> Verdict:
    if of == asked.request_id:  # its own: it died after this was remembered, or it is mapped anew
        return Verdict(goes=True)
    if known.kind != asked.version.kind:
        return Verdict(goes=False, seen=known, seen_in=of, mixed=True)
    return Verdict(goes=not asked.version.older_than(known), seen=known, seen_in=of)


def _lock(tx: Tx, wanted: list[Asked]) -> dict[Key, tuple[Version, UUID]]:
    """Lock the subjects, in their order; those that are new begin with the first request that has them."""
    values = {
        "workspace": tx.scope.workspace_id,
        "webhooks": [each.webhook_id for each in wanted],
        "subjects": [each.subject for each in wanted],
        "kinds": [each.version.kind for each in wanted],
        "versions": [each.version.text for each in wanted],
        "requests": [each.request_id for each in wanted],
    }
    rows = tx.conn.exec_driver_sql(_LOCK, values)
    return {(row.webhook_id, row.subject): (kept(row.kind, row.version), row.request_id) for row in rows}


def _keep(tx: Tx, newest: Mapping[Key, tuple[Version, UUID]]) -> None:
    if newest:
        tx.conn.exec_driver_sql(
            """UPDATE inbound_versions v SET kind = n.kind, version = n.version, request_id = n.request_id, seen_at = now()
               FROM unnest(%(webhooks)s::uuid[], %(subjects)s::text[], %(kinds)s::text[], %(versions)s::text[],
                           %(requests)s::uuid[]) AS n(webhook_id, subject, kind, version, request_id)
               WHERE v.workspace_id = %(workspace)s AND v.webhook_id = n.webhook_id AND v.subject = n.subject""",
            {
                "workspace": tx.scope.workspace_id,
                "webhooks": [webhook for webhook, _ in newest],
                "subjects": [subject for _, subject in newest],
                "kinds": [version.kind for version, _ in newest.values()],
                "versions": [version.text for version, _ in newest.values()],
                "requests": [request for _, request in newest.values()],
            },
        )
