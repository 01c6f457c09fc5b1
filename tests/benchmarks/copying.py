"""A long past and many webhooks in seconds: rows of real ones, copied by SQL with new ids, whatever columns they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.load import event, type_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.rig import Rig

_UUID7 = """
CREATE OR REPLACE FUNCTION pg_temp.uuid7(moment timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7'
    || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid $$;
"""


def copies(rig: Rig, table: str, source: str, changed: Mapping[str, str]) -> str:
    """Return an INSERT that copies `t` of `source` with some columns changed."""
    columns = [
        name
        for (name,) in rig.rows(
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s"
            " AND is_identity = 'NO' AND is_generated = 'NEVER'",
            table,
        )
    ]
    values = ", ".join(changed.get(name, f"t.{name}") for name in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {source};\n"


def many_hooks(rig: Rig, first: int, count: int, extra_type: str = "") -> None:
    """Make webhooks as copies of hook 0: their own path and event type; `extra_type` is one that all of them listen to."""
    types = "'bench.t' || lpad(n::text, 4, '0')" + (f", '{extra_type}'" if extra_type else "")
    body = (
        f"(t.body::jsonb || jsonb_build_object('name', 'hook-' || n, 'url', '{rig.receiver}/hook/' || n,"
        f" 'events', jsonb_build_array({types})))::json"
    )
    changed = {"id": "gen_random_uuid()", "name": "'hook-' || n", "body": body}
    source = f"webhooks t, generate_series({first}, {first + count - 1}) n WHERE t.name = 'hook-0'"
    rig.do(copies(rig, "webhooks", source, changed))
    rig.do("UPDATE workspaces SET routes_version = routes_version + 1; ANALYZE webhooks")


def _plan(rig: Rig, count: int, first: int, moment: str) -> str:
    """Return SQL that plans copies: a number, a moment, new ids, and the webhook for each."""
    names = ", ".join(f"'hook-{each}'" for each in rig.hooks)
    place = "(row_number() OVER (ORDER BY length(name), name))::int - 1 AS place"
    hooks = f"SELECT id, {place} FROM webhooks WHERE name IN ({names})"
    return f"""{_UUID7}
    CREATE TEMP TABLE plan AS SELECT n, at, pg_temp.uuid7(at) AS event_uid, pg_temp.uuid7(at) AS delivery_id,
      pg_temp.uuid7(at) AS attempt_id, h.id AS webhook_id
    FROM (SELECT n, {moment} AS at FROM generate_series({first}, {first + count - 1}) n) p
    JOIN ({hooks}) h ON h.place = p.n % {len(rig.hooks)};
    """


def _events(rig: Rig, pattern: str) -> str:
    """Return SQL that copies the event like `pattern` with its key."""
    number = "lpad(n::text, 8, '0')"
    changed = {
        "uid": "plan.event_uid",
        "id": "'copy_' || plan.event_uid",
        "data": f"regexp_replace(t.data, 'seq-[0-9]+', 'seq-' || {number})",
        "time": "at",
        "recorded_at": "at",
    }
    one = f"(SELECT * FROM events WHERE data LIKE '%{pattern}%' LIMIT 1) t"
    key = f"(SELECT k.* FROM event_keys k JOIN events e ON e.uid = k.uid WHERE e.data LIKE '%{pattern}%' LIMIT 1) t"
    return copies(rig, "events", f"{one}, plan", changed) + copies(
        rig, "event_keys", f"{key}, plan", {"uid": "plan.event_uid", "id": "'copy_' || plan.event_uid"}
    )


def make_past(rig: Rig, count: int, number: int) -> None:
    """Make `count` past events of this week, each delivered: copies of event `number`, which has been delivered."""
    week = "date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
    moment = f"{week} + (now() - {week}) * (n::float / {count})"
    pattern = f"seq-{number:08d}"
    mine = f"JOIN events e ON e.uid = d.event_uid WHERE e.data LIKE '%{pattern}%'"
    delivery = f"(SELECT d.* FROM deliveries d {mine} LIMIT 1) t"
    attempt = f"(SELECT a.* FROM attempts a JOIN deliveries d ON d.id = a.delivery_id {mine} LIMIT 1) t"
    rig.do(
        _plan(rig, count, 0, moment)
        + _events(rig, pattern)
        + copies(
            rig,
            "deliveries",
            f"{delivery}, plan",
            {
                "id": "plan.delivery_id",
                "event_uid": "plan.event_uid",
                "webhook_id": "plan.webhook_id",
                "message_id": "'msg_' || plan.delivery_id",
                "created_at": "at",
                "finished_at": "at",
            },
        )
        + copies(
            rig,
            "attempts",
            f"{attempt}, plan",
            {"id": "plan.attempt_id", "delivery_id": "plan.delivery_id", "started_at": "at"},
        )
    )
    settle(rig)


def make_backlog(rig: Rig, count: int, number: int, first: int) -> None:
    """Make `count` waiting deliveries: copies of event `number`, which waits; they are numbered from `first`."""
    pattern = f"seq-{number:08d}"
    mine = f"JOIN events e ON e.uid = d.event_uid WHERE e.data LIKE '%{pattern}%'"
    delivery = f"(SELECT d.* FROM deliveries d {mine} LIMIT 1) t"
    due = f"(SELECT q.* FROM due q JOIN deliveries d ON d.id = q.ref {mine} LIMIT 1) t"
    rig.do(
        _plan(rig, count, first, "now()")
        + _events(rig, pattern)
        + copies(
            rig,
            "deliveries",
            f"{delivery}, plan",
            {
                "id": "plan.delivery_id",
                "event_uid": "plan.event_uid",
                "webhook_id": "plan.webhook_id",
                "message_id": "'msg_' || plan.delivery_id",
            },
        )
        + copies(rig, "due", f"{due}, plan", {"ref": "plan.delivery_id", "lane": "plan.webhook_id"})
    )
    settle(rig)


def settle(rig: Rig) -> None:
    """Do now what autovacuum and the checkpointer would do in the hours in which such a past comes about."""
    rig.do("VACUUM (ANALYZE)")
    rig.do("CHECKPOINT")


def one_event(rig: Rig, number: int) -> bytes:
    """Return the body that publishes one event to the first webhook."""
    return event(number, type_of(rig.hooks[0])).encode()
