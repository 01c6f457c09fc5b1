"""Inbound webhooks: requests as they came, the keys that make them unique, the newest version seen of a subject."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INBOUND = """
CREATE TABLE inbound_requests (
  id uuid NOT NULL PRIMARY KEY,  -- version 7: its time is the partition
  workspace_id bigint NOT NULL,
  webhook_id uuid NOT NULL,
  definition_version int NOT NULL,  -- the one that it was taken under: what it is mapped by, until it is replayed
  state text NOT NULL,  -- received, emitted, skipped, stale, dead, discarded
  round int NOT NULL DEFAULT 1,  -- raised by each replay
  received_at timestamptz NOT NULL,
  method text NOT NULL,
  path text NOT NULL, query text NOT NULL DEFAULT '',
  params json NOT NULL DEFAULT '{}',
  headers json NOT NULL,  -- those that matter, without credentials; lower-case names
  body bytea NOT NULL,
  message_id text NOT NULL DEFAULT '',
  client text NOT NULL,
  hops int NOT NULL DEFAULT 0,
  correlation_id text NOT NULL,
  finished_at timestamptz,
  reason text,
  error jsonb,
  event_ids text[] NOT NULL DEFAULT '{}'  -- of what it emitted, in order
) PARTITION BY RANGE (id);
CREATE INDEX inbound_requests_by_webhook ON inbound_requests (workspace_id, webhook_id, id);
CREATE INDEX inbound_requests_by_age ON inbound_requests (workspace_id, id);
CREATE INDEX inbound_requests_by_correlation ON inbound_requests (workspace_id, correlation_id, id);
CREATE INDEX inbound_requests_by_state ON inbound_requests (workspace_id, state, id) WHERE state <> 'emitted';
CREATE TABLE inbound_requests_rest PARTITION OF inbound_requests DEFAULT;
CREATE TABLE inbound_keys (
  workspace_id bigint NOT NULL,
  webhook_id uuid NOT NULL,
  key bytea NOT NULL,  -- SHA-256 of the dedupe key
  request_id uuid NOT NULL,
  expires_at timestamptz NOT NULL,
  mapping boolean NOT NULL DEFAULT false,  -- a synchronous one that is not answered yet
  status int,
  headers json, body bytea,  -- what the first was answered, where that is not always the same
  PRIMARY KEY (webhook_id, key)
);
CREATE INDEX inbound_keys_by_age ON inbound_keys (expires_at);
CREATE INDEX inbound_keys_mapping ON inbound_keys (request_id) WHERE mapping;
CREATE TABLE inbound_versions (
  workspace_id bigint NOT NULL,
  webhook_id uuid NOT NULL,
  subject text NOT NULL,
  kind text NOT NULL,  -- number, time or text: versions of two kinds do not compare
  version text NOT NULL,
  request_id uuid NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (webhook_id, subject)
);
CREATE INDEX inbound_versions_by_age ON inbound_versions (seen_at);
"""

FENCES = """
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['inbound_requests', 'inbound_keys', 'inbound_versions'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY engine ON %I TO crossdock_engine USING (true) WITH CHECK (true)', t);
    EXECUTE format($p$CREATE POLICY tenant ON %I TO crossdock_api
      USING (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)
      WITH CHECK (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)$p$, t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO crossdock_api, crossdock_engine', t);
  END LOOP;
END $$;
"""

# As in 0002, with one table more.
PARTITIONS = """
CREATE OR REPLACE FUNCTION crossdock_make_partitions(weeks int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE parent text; week timestamptz; made int := 0; child text;
BEGIN
  PERFORM pg_advisory_xact_lock(7310001);
  FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts', 'inbound_requests'] LOOP
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
-- Does anybody still need rows of this table with ids in [low, high)?
CREATE OR REPLACE FUNCTION crossdock_needed(parent text, low uuid, high uuid) RETURNS boolean
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
    WHEN 'inbound_requests' THEN RETURN
      EXISTS (SELECT FROM due WHERE kind = 'inbound' AND ref >= low AND ref < high)
      OR EXISTS (SELECT FROM dead_letters WHERE kind = 'inbound' AND resolved_at IS NULL AND ref >= low AND ref < high)
      OR EXISTS (SELECT FROM inbound_requests WHERE state = 'received' AND id >= low AND id < high);
    ELSE RETURN true;
  END CASE;
END $$;
-- Drops at most one partition of a table: the oldest that is wholly older than `days` and that nobody needs. Returns its name.
CREATE OR REPLACE FUNCTION crossdock_drop_expired(parent text, days int) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE part record;
BEGIN
  IF parent NOT IN ('events', 'deliveries', 'attempts', 'inbound_requests') OR days IS NULL OR days < 1 THEN
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
SELECT crossdock_make_partitions(8);
"""


def upgrade() -> None:
    op.execute(INBOUND)
    op.execute(FENCES)
    op.execute(PARTITIONS)
