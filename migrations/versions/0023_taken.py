"""Fan-outs are written out and claimed in one: what is written is leased to whoever is about to send it."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

# What `kernel.policies.parse_duration` reads; a test holds the two equal.
SECONDS = r"""
CREATE FUNCTION crossdock_seconds(duration text) RETURNS float
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT sum(part[1]::float * CASE part[2] WHEN 'ms' THEN 0.001 WHEN 's' THEN 1 WHEN 'm' THEN 60 WHEN 'h' THEN 3600 ELSE 86400 END)
  FROM regexp_matches(duration, '(\d+(?:\.\d+)?)(ms|s|m|h|d)', 'g') AS part
$$;
"""

# Writes out the next of the fan-out that has waited longest, and leases what may go at once; it goes behind the others then.
# The lock is that of claims: lanes that are busy, and the slow ones, leave theirs to the claims. A row without `ref` says that
# a fan-out was worked on and nothing of it is to be sent now. Ids are version 4 with the time in front: version 7.
TAKE = """
CREATE FUNCTION crossdock_fan_out(
  wanted int, lease float, slow uuid[], held text[], expires float, lane_limit_ int, at_ timestamptz, prefix text)
RETURNS TABLE (ref uuid, workspace_id bigint, lane uuid, epoch int)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  t timestamptz;
  until_ timestamptz;
  mine uuid;
  f record;
BEGIN
  SET LOCAL synchronous_commit = off;
  PERFORM pg_advisory_xact_lock(7310003, hashtext('delivery'));
  t := clock_timestamp();
  until_ := t + lease * interval '1 second';
  SELECT d.ref INTO mine FROM due d
  WHERE d.kind = 'fanout' AND NOT d.leased AND d.lane_limit > 0 AND d.due_at <= t ORDER BY d.due_at LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT o.workspace_id, o.event_uid, o.written, cardinality(o.webhook_ids) AS size, o.webhook_ids[o.written + 1 : o.written + wanted] AS part
  INTO f FROM fanouts o WHERE o.id = mine FOR UPDATE;
  RETURN QUERY
    WITH busy AS MATERIALIZED (
      SELECT DISTINCT d.lane FROM due d WHERE d.kind = 'delivery' AND d.leased
    ), owed AS MATERIALIZED (
      SELECT overlay(overlay(gen_random_uuid()::text PLACING '7' FROM 15) PLACING prefix FROM 1)::uuid AS id, w.id AS webhook,
             w.state = ANY (held) AS holds, NOT (w.state = ANY (held) OR w.id = ANY (slow) OR b.lane IS NOT NULL) AS goes,
             at_ + coalesce(crossdock_seconds(w.body ->> 'expires'), expires) * interval '1 second' AS until,
             coalesce((w.body ->> 'max_in_flight')::int, lane_limit_) AS most,
             CASE w.body ->> 'priority' WHEN 'high' THEN 0 WHEN 'low' THEN 2 ELSE 1 END AS class
      FROM unnest(f.part) AS p(id) JOIN webhooks w ON w.id = p.id LEFT JOIN busy b ON b.lane = w.id
      WHERE w.workspace_id = f.workspace_id AND w.deleted_at IS NULL AND w.state <> 'draft'
    ), stored AS (
      INSERT INTO deliveries (id, workspace_id, webhook_id, event_uid, message_id, state, created_at, expires_at)
      SELECT o.id, f.workspace_id, o.webhook, f.event_uid, crossdock_message_id(f.event_uid, o.webhook),
             CASE WHEN o.holds THEN 'held' ELSE 'pending' END, at_, o.until
      FROM owed o
    ), put AS (
      INSERT INTO due AS d (kind, ref, workspace_id, lane, lane_limit, priority, due_at, leased, epoch, claims)
      SELECT 'delivery', o.id, f.workspace_id, o.webhook, o.most, o.class,
             CASE WHEN o.holds THEN 'infinity' WHEN o.goes THEN until_ ELSE t END,
             o.goes, CASE WHEN o.goes THEN 1 + (random() * 1000)::int ELSE 0 END, o.goes::int
      FROM owed o
      RETURNING d.ref, d.lane, d.epoch, d.leased
    )
    SELECT p.ref, f.workspace_id, p.lane, p.epoch FROM put p WHERE p.leased;
  IF NOT FOUND THEN
    RETURN QUERY SELECT NULL::uuid, f.workspace_id, NULL::uuid, 0;
  END IF;
  IF f.size > f.written + wanted THEN
    UPDATE fanouts o SET written = f.written + wanted WHERE o.id = mine;
    UPDATE due d SET due_at = t WHERE d.kind = 'fanout' AND d.ref = mine;
  ELSE
    DELETE FROM fanouts o WHERE o.id = mine;
    DELETE FROM due d WHERE d.kind = 'fanout' AND d.ref = mine;
  END IF;
END $$;
"""
_SIGNATURE = "crossdock_fan_out(int, float, uuid[], text[], float, int, timestamptz, text)"
# What was written out so far had been cut off the list: it counts from its present beginning.
ANEW = "UPDATE fanouts SET written = 0"


def upgrade() -> None:
    op.execute(SECONDS)
    op.execute(TAKE)
    op.execute(ANEW)
    op.execute(f"REVOKE ALL ON FUNCTION {_SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {_SIGNATURE} TO crossdock_engine")
