"""The events of the ERP wait in its own table until Crossdock has them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, tuple_

from plugins.erp_sandbox.opening import MAIN, working
from plugins.erp_sandbox.tables import CALLS, OUTBOX
from server.sdk import Emitted, Outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plugins.erp_sandbox.desk import Desk
    from server.sdk import Context

KEPT = timedelta(days=31)
"""How long the answer of a call is kept under its idempotency key, at least."""
_FORGOTTEN = 2_000


class ErpOutbox(Outbox):
    """What waits in `outbox`, of the company of the call."""

    def identity(self, config: Mapping[str, Any]) -> str:
        """Name the company, and the database where it has one of its own."""
        return f"{config.get('company', MAIN)} {config.get('url', '')}"

    def waiting(self, context: Context, limit: int) -> Sequence[Emitted]:
        """Return the oldest."""
        with working(context) as desk:
            rows = desk.connection.execute(
                select(OUTBOX).where(OUTBOX.c.company == desk.company).order_by(OUTBOX.c.position).limit(limit)
            ).all()
        return [
            Emitted(
                position=row.position,
                id=row.id,
                type=row.type,
                subject=row.subject,
                time=row.time,
                data=json.loads(row.data),
                correlation_id=row.correlation_id,
                cause=row.cause,
            )
            for row in rows
        ]

    def taken(self, context: Context, events: Sequence[Emitted]) -> None:
        """Delete just these: one that was written meanwhile with a lower position is still there."""
        with working(context, writes=True) as desk:
            column = OUTBOX.c
            # SQLite gives a position again once it is free: of another event, then.
            these = (
                column.position.in_([each.position for each in events]),
                column.id.in_([each.id for each in events]),
            )
            desk.connection.execute(delete(OUTBOX).where(column.company == desk.company, *these))
            _forget_old_answers(desk)


def _forget_old_answers(desk: Desk) -> None:
    """Delete some of the answers that nobody asks for again: what calls leave behind goes as their events do."""
    column = CALLS.c
    key = (column.company, column.operation, column.key)
    old = (
        select(*key)
        .where(column.company == desk.company, column.at < desk.now - KEPT)
        .order_by(column.at)
        .limit(_FORGOTTEN)
    )
    desk.connection.execute(delete(CALLS).where(tuple_(*key).in_(old)))
