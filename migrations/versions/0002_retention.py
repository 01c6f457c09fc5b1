"""Retention: weekly partitions made ahead without locking anybody out, and dropped when nothing needs them any more.

The engine's role owns no table, so both are functions that run with their owner's rights. They hold the rules themselves: whoever
may call them can drop nothing that is younger than a day, unfinished, or behind an open dead letter.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# ATTACH locks the parent only against other changes of its form, where PARTITION OF would stop every reader and writer.
# Rows that came while a week had no partition lie in the default one; that week then stays there.
MAKE = """
CREATE OR REPLACE FUNCTION crossdock_make_partitions(weeks int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE parent text; week timestamptz; made int := 0; child text;
BEGIN
  PERFORM pg_advisory_xact_lock(7310001);
  FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
    FOR n IN 0..least(weeks, 60) LOOP
      week := date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + n * interval '7 days';
      child := format('%s_%s', parent, to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD'));
      CONTINUE WHEN to_regclass(child) IS NOT NULL;
      BEGIN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (autovacuum_vacuum_insert_scale_factor = 0.1)', child, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child,
                       crossdock_first_uuid(week), crossdock_first_uuid(week + interval '7 days'));
        made := made + 1;
      EXCEPTION WHEN check_violation THEN NULL;
      END;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;
"""

PARTS = """
-- The weekly partitions of a table, oldest first, with the ids that they hold: from `low` up to and without `high`.
CREATE FUNCTION crossdock_partitions(parent text) RETURNS TABLE (name text, low uuid, high uuid, ends timestamptz)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT c.relname::text, crossdock_first_uuid(w.week), crossdock_first_uuid(w.week + interval '7 days'), w.week + interval '7 days'
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  CROSS JOIN LATERAL (SELECT to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS week) AS w
  WHERE i.inhparent = to_regclass(parent) AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
  ORDER BY 2
$$;

-- Does anybody still need rows of this table with ids in [low, high)?
CREATE FUNCTION crossdock_needed(parent text, low uuid, high uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
  CASE parent
    WHEN 'deliveries' THEN RETURN
      EXISTS (SELECT FROM due WHERE kind = 'delivery' AND ref >= low AND ref < high)
      OR EXISTS (SELECT FROM dead_letters WHERE kind = 'delivery' AND resolved_at IS NULL AND ref >= low AND ref < high)
      OR EXISTS (SELECT FROM deliveries WHERE state IN ('pending', 'held') AND id >= low AND id < high);
    WHEN 'attempts' THEN RETURN
      -- An attempt is younger than its delivery, so only deliveries before `high` count.
      EXISTS (
        SELECT FROM (
          SELECT ref FROM due WHERE kind = 'delivery' AND ref < high
          UNION SELECT ref FROM dead_letters WHERE kind = 'delivery' AND resolved_at IS NULL AND ref < high
        ) AS kept JOIN attempts a ON a.delivery_id = kept.ref WHERE a.id >= low AND a.id < high);
    WHEN 'events' THEN RETURN
      EXISTS (SELECT FROM deliveries WHERE event_uid >= low AND event_uid < high)
      OR EXISTS (SELECT FROM fanouts WHERE event_uid >= low AND event_uid < high)
      OR EXISTS (SELECT FROM due WHERE kind = 'reaction' AND ref >= low AND ref < high)
      OR EXISTS (SELECT FROM dead_letters WHERE kind = 'reaction' AND resolved_at IS NULL AND ref >= low AND ref < high);
    ELSE RETURN true;
  END CASE;
END $$;
"""

DROP = """
-- Drops at most one partition of a table: the oldest that is wholly older than `days` and that nobody needs. Returns its name.
CREATE FUNCTION crossdock_drop_expired(parent text, days int) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE part record;
BEGIN
  IF parent NOT IN ('events', 'deliveries', 'attempts') OR days IS NULL OR days < 1 THEN
    RAISE EXCEPTION 'nothing of % may be dropped after % days', parent, days USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM pg_advisory_xact_lock(7310001);
  FOR part IN SELECT * FROM crossdock_partitions(parent) WHERE ends <= now() - days * interval '1 day' LOOP
    CONTINUE WHEN crossdock_needed(parent, part.low, part.high);
    -- Parent before child, as every query locks them. Everybody waits meanwhile, so we wait half a second at most: the next
    -- run gets it. Then nobody can write between the last look and the drop.
    SET LOCAL lock_timeout = '500ms';
    EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', parent);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', part.name);
    CONTINUE WHEN crossdock_needed(parent, part.low, part.high);
    EXECUTE format('DROP TABLE %I', part.name);
    RETURN part.name;
  END LOOP;
  RETURN NULL;
END $$;
"""

RIGHTS = """
REVOKE ALL ON FUNCTION crossdock_make_partitions(int), crossdock_drop_expired(text, int), crossdock_needed(text, uuid, uuid)
  FROM PUBLIC;
GRANT EXECUTE ON FUNCTION crossdock_make_partitions(int), crossdock_drop_expired(text, int) TO crossdock_engine;
CREATE INDEX dead_letters_by_age ON dead_letters (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX deliveries_held ON deliveries (webhook_id) WHERE state = 'held';
CREATE INDEX deliveries_held_until ON deliveries (expires_at) WHERE state = 'held';
"""


def upgrade() -> None:
    for statements in (MAKE, PARTS, DROP, RIGHTS):
        op.execute(statements)
