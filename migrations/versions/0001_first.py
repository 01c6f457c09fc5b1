"""The first schema: tenants, secrets, definitions, aggregates and their journal, events, deliveries, due work.

Roles: `crossdock_engine` works over all workspaces; `crossdock_api` sees one workspace, the one that the transaction names in
`crossdock.workspace`, by row-level security. The schema's owner (who migrates) is neither.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROLES = """
DO $$
DECLARE
  wanted text;
  right_to_become text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['crossdock_api', 'crossdock_engine'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN EXECUTE format('CREATE ROLE %I NOLOGIN', wanted); END IF;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN NULL;
      WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role % is missing and % may not create roles', wanted, current_user
          USING HINT = format('as a superuser: CREATE ROLE %I NOLOGIN; GRANT %I TO %I;', wanted, wanted, current_user);
    END;
    IF NOT pg_has_role(current_user, wanted, right_to_become) THEN EXECUTE format('GRANT %I TO %I', wanted, current_user); END IF;
  END LOOP;
END $$;
"""

TENANTS = """
CREATE TABLE organizations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE workspaces (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id bigint NOT NULL REFERENCES organizations,
  name text NOT NULL,
  routes_version bigint NOT NULL DEFAULT 0,  -- raised with every change of what subscribes: caches compare it
  settings jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, name)
);
CREATE TABLE users (
  organization_id bigint NOT NULL REFERENCES organizations,
  id uuid PRIMARY KEY,
  email text NOT NULL,
  name text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  disabled_at timestamptz,
  UNIQUE (organization_id, email)
);
CREATE TABLE memberships (
  organization_id bigint NOT NULL,
  workspace_id bigint NOT NULL REFERENCES workspaces,
  user_id uuid NOT NULL REFERENCES users,
  role text NOT NULL,
  PRIMARY KEY (workspace_id, user_id)
);
CREATE TABLE tokens (
  organization_id bigint NOT NULL,
  workspace_id bigint NOT NULL REFERENCES workspaces,
  id uuid PRIMARY KEY,
  user_id uuid REFERENCES users,
  name text NOT NULL,
  prefix text NOT NULL,
  hash bytea NOT NULL UNIQUE,
  role text NOT NULL,
  scopes text[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(), created_by text NOT NULL,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz
);
CREATE INDEX tokens_by_workspace ON tokens (organization_id, workspace_id, id);
CREATE TABLE secrets (
  organization_id bigint NOT NULL,
  workspace_id bigint NOT NULL REFERENCES workspaces,
  name text NOT NULL,
  version int NOT NULL,
  key_id text NOT NULL,
  ciphertext bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), created_by text NOT NULL,
  valid_until timestamptz,  -- set on the older versions by a rotation: both are used until then
  PRIMARY KEY (workspace_id, name, version)
);
CREATE TABLE audit (
  organization_id bigint NOT NULL, workspace_id bigint NOT NULL,
  id uuid PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  principal text NOT NULL,
  action text NOT NULL,
  target text NOT NULL,
  details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_by_workspace ON audit (organization_id, workspace_id, id);
CREATE TABLE idempotency_keys (
  workspace_id bigint NOT NULL,
  route text NOT NULL,
  key text NOT NULL,
  body_hash bytea NOT NULL,
  owner uuid NOT NULL,
  locked_until timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  status int,  -- NULL while in flight
  headers jsonb,
  body bytea,
  PRIMARY KEY (workspace_id, route, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
"""

DECLARED = """
CREATE TABLE definitions (
  organization_id bigint NOT NULL,
  workspace_id bigint NOT NULL REFERENCES workspaces,
  kind text NOT NULL,
  name text NOT NULL,  -- an EventType's is type@version
  version int NOT NULL,
  origin text NOT NULL,  -- `api`, or `folder:…`
  hash text NOT NULL, body json NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  updated_by text NOT NULL,
  removed_at timestamptz,
  PRIMARY KEY (workspace_id, kind, name)
);
CREATE INDEX definitions_by_tenant ON definitions (organization_id, workspace_id, kind, name);
CREATE TABLE definition_versions (
  organization_id bigint NOT NULL, workspace_id bigint NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  version int NOT NULL,
  action text NOT NULL,  -- create, change, remove, rollback
  origin text NOT NULL,
  hash text NOT NULL, body json NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  by text NOT NULL,
  PRIMARY KEY (workspace_id, kind, name, version)
);
"""

AGGREGATE = """
CREATE TABLE {table} (
  organization_id bigint NOT NULL,
  workspace_id bigint NOT NULL REFERENCES workspaces,
  id uuid PRIMARY KEY,
  name text NOT NULL,
  state text NOT NULL,
  version int NOT NULL,
  definition_version int NOT NULL,
  body json NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{{}}',
  created_at timestamptz NOT NULL, created_by text NOT NULL,
  updated_at timestamptz NOT NULL, updated_by text NOT NULL,
  deleted_at timestamptz, deleted_by text
);
CREATE INDEX {table}_by_tenant ON {table} (organization_id, workspace_id, id);
CREATE UNIQUE INDEX {table}_by_name ON {table} (workspace_id, name) WHERE deleted_at IS NULL;
CREATE INDEX {table}_by_metadata ON {table} USING gin (metadata jsonb_path_ops);
"""

JOURNAL = """
CREATE TABLE journal (
  organization_id bigint NOT NULL, workspace_id bigint NOT NULL,
  aggregate_kind text NOT NULL,
  aggregate_id uuid NOT NULL,
  version int NOT NULL,
  type text NOT NULL,
  data json NOT NULL,
  event_uid uuid NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  by text NOT NULL,
  correlation_id text NOT NULL, causation_id text,
  PRIMARY KEY (workspace_id, aggregate_id, version)
);
"""

EVENTS = """
CREATE TABLE events (
  uid uuid NOT NULL PRIMARY KEY,  -- version 7: its time is the partition
  workspace_id bigint NOT NULL,
  id text NOT NULL,
  source text NOT NULL,
  type text NOT NULL,
  subject text,
  time timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL,
  schema_version int,
  content_type text NOT NULL DEFAULT 'application/json',
  data text NOT NULL,  -- the JSON as it came, never parsed by the database
  extensions jsonb,
  correlation_id text NOT NULL, causation_id text,
  principal text NOT NULL
) PARTITION BY RANGE (uid);
CREATE INDEX events_by_type ON events (workspace_id, type, uid);
CREATE INDEX events_by_subject ON events (workspace_id, subject, uid) WHERE subject IS NOT NULL;
CREATE INDEX events_by_correlation ON events (workspace_id, correlation_id, uid);
CREATE INDEX events_by_age ON events (workspace_id, uid);
CREATE TABLE event_keys (
  workspace_id bigint NOT NULL,
  source text NOT NULL,
  id text NOT NULL,
  content_hash bytea NOT NULL,
  uid uuid NOT NULL,
  PRIMARY KEY (workspace_id, source, id)
);
CREATE INDEX event_keys_by_id ON event_keys (workspace_id, id);
CREATE INDEX event_keys_by_uid ON event_keys (uid);
"""

DELIVERIES = """
CREATE TABLE deliveries (
  id uuid NOT NULL PRIMARY KEY,
  workspace_id bigint NOT NULL,
  webhook_id uuid NOT NULL,
  event_uid uuid NOT NULL,
  message_id text NOT NULL,
  state text NOT NULL,
  attempts int NOT NULL DEFAULT 0,
  attempts_before int NOT NULL DEFAULT 0,  -- those of earlier rounds: a retry by hand starts the schedule anew
  order_key text, order_no bigint,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  finished_at timestamptz,
  last_status int,
  reason text,
  error jsonb,
  replayed_from uuid
) PARTITION BY RANGE (id);
CREATE INDEX deliveries_by_webhook ON deliveries (workspace_id, webhook_id, id);
CREATE INDEX deliveries_by_event ON deliveries (event_uid);
CREATE INDEX deliveries_by_state ON deliveries (workspace_id, state, id) WHERE state <> 'delivered';
CREATE INDEX deliveries_in_order ON deliveries (webhook_id, order_key, order_no)
  WHERE order_key IS NOT NULL AND state IN ('pending', 'held', 'dead');
CREATE TABLE attempts (
  id uuid NOT NULL PRIMARY KEY,
  workspace_id bigint NOT NULL,
  delivery_id uuid NOT NULL,
  no int NOT NULL,
  started_at timestamptz NOT NULL,
  outcome text NOT NULL,  -- success, failure, timeout, refused
  status int,
  request_headers jsonb,
  response_headers jsonb,
  response_body bytea,
  error jsonb,
  timings jsonb,
  worker text NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX attempts_by_delivery ON attempts (delivery_id);
CREATE INDEX attempts_by_workspace ON attempts (workspace_id, id);
CREATE TABLE order_counters (
  workspace_id bigint NOT NULL,
  webhook_id uuid NOT NULL,
  order_key text NOT NULL,
  last_no bigint NOT NULL,
  PRIMARY KEY (webhook_id, order_key)
);
CREATE TABLE fanouts (
  id uuid PRIMARY KEY,
  workspace_id bigint NOT NULL,
  event_uid uuid NOT NULL,
  webhook_ids uuid[] NOT NULL
);
"""

WORK = """
CREATE TABLE due (
  kind text NOT NULL,  -- delivery, fanout, reaction, …: who drains it
  ref uuid NOT NULL,
  workspace_id bigint NOT NULL,
  lane uuid NOT NULL,  -- what must not be overrun: the webhook of a delivery
  lane_limit int NOT NULL DEFAULT 10,  -- how many of the lane may be leased at once
  due_at timestamptz NOT NULL,  -- a claim pushes it on by the lease; infinity is held
  leased boolean NOT NULL DEFAULT false,
  epoch int NOT NULL DEFAULT 0,
  claims int NOT NULL DEFAULT 0,
  PRIMARY KEY (kind, ref)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000);
CREATE INDEX due_next ON due (kind, due_at);
CREATE INDEX due_leased ON due (kind, lane) WHERE leased;
CREATE INDEX due_by_lane ON due (lane, kind, due_at);
CREATE TABLE dead_letters (
  workspace_id bigint NOT NULL,
  id uuid PRIMARY KEY,
  kind text NOT NULL,  -- delivery, inbound, record, step
  ref uuid NOT NULL,
  owner text NOT NULL,  -- the definition that it belongs to: webhook/orders-to-warehouse
  owner_id uuid NOT NULL,
  reason text NOT NULL,
  error jsonb NOT NULL,
  attempts int NOT NULL,
  first_attempt_at timestamptz, last_attempt_at timestamptz,
  correlation_id text NOT NULL,
  adapter text,
  created_at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz,
  resolved_by text,
  resolution text  -- replayed, discarded
);
CREATE INDEX dead_letters_open ON dead_letters (workspace_id, id) WHERE resolved_at IS NULL;
CREATE INDEX dead_letters_by_owner ON dead_letters (workspace_id, owner_id, id);
CREATE INDEX dead_letters_by_ref ON dead_letters (ref);
CREATE TABLE breakers (
  workspace_id bigint NOT NULL,
  integration_id uuid PRIMARY KEY,
  state text NOT NULL DEFAULT 'closed',
  failures int NOT NULL DEFAULT 0,
  successes int NOT NULL DEFAULT 0,
  opened_at timestamptz,
  probe_until timestamptz
);
CREATE TABLE processes (
  id uuid PRIMARY KEY,
  role text NOT NULL,
  host text NOT NULL,
  pid int NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE leases (
  name text PRIMARY KEY,
  owner uuid NOT NULL,
  epoch bigint NOT NULL,
  until timestamptz NOT NULL
);
"""

PARTITIONS = """
CREATE FUNCTION crossdock_first_uuid(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;

-- Weekly partitions from this week to `weeks` ahead; idempotent, safe to call from many processes.
CREATE FUNCTION crossdock_make_partitions(weeks int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE parent text; week timestamptz; made int := 0; child text;
BEGIN
  PERFORM pg_advisory_xact_lock(7310001);
  FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
    FOR n IN 0..weeks LOOP
      week := date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + n * interval '7 days';
      child := format('%s_%s', parent, to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD'));
      IF to_regclass(child) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', child, parent,
                       crossdock_first_uuid(week), crossdock_first_uuid(week + interval '7 days'));
        EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_insert_scale_factor = 0.1)', child);
        made := made + 1;
      END IF;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;
CREATE TABLE events_rest PARTITION OF events DEFAULT;
CREATE TABLE deliveries_rest PARTITION OF deliveries DEFAULT;
CREATE TABLE attempts_rest PARTITION OF attempts DEFAULT;
SELECT crossdock_make_partitions(8);
"""

# Whatever has a workspace_id is fenced; what has none (organizations, processes, leases, …) the API's role may only read,
# and of tenants only its own.
FENCES = """
DO $$
DECLARE t text;
BEGIN
  GRANT USAGE ON SCHEMA public TO crossdock_api, crossdock_engine;
  GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO crossdock_engine;
  GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO crossdock_engine;
  GRANT EXECUTE ON FUNCTION crossdock_make_partitions(int) TO crossdock_engine;
  FOR t IN SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE n.nspname = 'public' AND a.attname = 'workspace_id' AND c.relkind IN ('r', 'p') AND NOT c.relispartition LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY engine ON %I TO crossdock_engine USING (true) WITH CHECK (true)', t);
    EXECUTE format($p$CREATE POLICY tenant ON %I TO crossdock_api
      USING (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)
      WITH CHECK (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)$p$, t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO crossdock_api', t);
  END LOOP;
  REVOKE UPDATE, DELETE ON audit, journal, definition_versions FROM crossdock_api;
  ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;
  CREATE POLICY engine ON workspaces TO crossdock_engine USING (true) WITH CHECK (true);
  CREATE POLICY tenant ON workspaces TO crossdock_api
    USING (id = nullif(current_setting('crossdock.workspace', true), '')::bigint);
  GRANT SELECT, UPDATE (routes_version) ON workspaces TO crossdock_api;
  GRANT SELECT ON processes, leases TO crossdock_api;
END $$;
"""


def upgrade() -> None:
    for statements in (ROLES, TENANTS, DECLARED):
        op.execute(statements)
    for table in ("integrations", "webhooks"):
        op.execute(AGGREGATE.format(table=table))
    for statements in (JOURNAL, EVENTS, DELIVERIES, WORK, PARTITIONS, FENCES):
        op.execute(statements)
