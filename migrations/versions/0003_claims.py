"""Claims: fair over workspaces and lanes, with a priority.

A claim is a function, so that one round trip does it whole, and claims of one kind go one after the other: what a lane may have
under way is exact over all workers. The lock is held while the server executes, never while a client thinks.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Rows under way and rows that wait are in indexes of their own: neither makes the other's longer. What is always so stands in two
# of them as a condition: a query that says it too can use that index and no other, whatever the planner believes of the table.
DUE = """
ALTER TABLE due ADD COLUMN priority smallint NOT NULL DEFAULT 1,  -- 0 high, 1 normal, 2 low
  ADD CHECK (priority >= 0), ADD CHECK (lane_limit > 0);
DROP INDEX due_next, due_leased, due_by_lane;
CREATE INDEX due_next ON due (kind, due_at) WHERE NOT leased AND lane_limit > 0;
CREATE INDEX due_lanes ON due (kind, workspace_id, priority, lane, due_at) WHERE NOT leased AND priority >= 0;
CREATE INDEX due_leased ON due (kind, due_at) WHERE leased;
"""

# Rows are found by an index and touched where they lie. `ours = 'yes'` is always so; the planner takes it for rare, and thus begins
# with what was found: of a table that is empty one moment and full the next it knows nothing that would help.
CLAIM = """
-- Claims at most `wanted` due rows of a kind. While all that is due fits into one look, the oldest of the highest priority go first.
-- Behind a backlog each workspace gets the same share, each lane of it a turn, from where `cursors` ("workspace:priority" to
-- lane) left off; `first_class` is the priority that chooses first. A lane never has more under way than its limit, those
-- in `slow` no more than one. Orphans, whose lease ran out, go before all else. Losing a claim in a crash of the server does no
-- harm, so nobody waits for the disk; epochs grow by chance, so that a claim that was lost and one made anew never share one.
-- Nothing is due before `since`: entries of rows that are gone stay in an index while any snapshot is older, a backup's say, and
-- what is known to be behind is passed over in the index, without a look at the table.
CREATE FUNCTION crossdock_claim(
  for_kind text, wanted int, lease float, first_class int, after_workspace bigint, cursors jsonb, slow uuid[],
  since timestamptz)
RETURNS TABLE (
  ref uuid, workspace_id bigint, lane uuid, priority smallint, epoch int, claims int, was_due timestamptz, turn bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  t timestamptz;
  until_ timestamptz;
  left_ int := wanted;
  look int := greatest(wanted * 2, 100);
  seen int;
  spaces bigint[];
  hungry bigint[] := '{}';
  busy jsonb;
  round_ int;
  share int;
  space bigint;
  class int;
  classes int[] := CASE first_class WHEN 0 THEN '{0,1,2}' WHEN 1 THEN '{1,0,2}' ELSE '{2,0,1}' END;
  place text;
  home uuid;
  cursor_ uuid;
  wrapped boolean;
  walked jsonb := '{}';
  reached jsonb := '{}';
  head record;
  mine int;
  free int;
  taken int;
  got uuid[];
  picked uuid[] := '{}';
  probes int := 0;
  nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  SET LOCAL synchronous_commit = off;
  PERFORM pg_advisory_xact_lock(7310003, hashtext(for_kind));
  t := clock_timestamp();
  until_ := t + lease * interval '1 second';

  RETURN QUERY
    WITH orphans AS MATERIALIZED (
      SELECT d.ctid AS at, d.due_at, 'yes' AS ours FROM due d WHERE d.kind = for_kind AND d.leased AND d.due_at <= t
      ORDER BY d.due_at LIMIT left_ FOR UPDATE SKIP LOCKED)
    UPDATE due d SET due_at = until_, epoch = d.epoch + 1 + (random() * 1000)::int, claims = d.claims + 1
    FROM orphans o WHERE d.ctid = o.at AND o.ours = 'yes'
    RETURNING d.ref, d.workspace_id, d.lane, d.priority, d.epoch, d.claims, o.due_at, 0::bigint;
  GET DIAGNOSTICS taken = ROW_COUNT;
  left_ := left_ - taken;

  SELECT count(*) INTO seen FROM (
    SELECT FROM due d WHERE d.kind = for_kind AND NOT d.leased AND d.lane_limit > 0 AND d.due_at BETWEEN since AND t
    ORDER BY d.due_at LIMIT look) AS s;
  IF seen = 0 OR left_ <= 0 THEN
    RETURN;
  END IF;

  IF seen < look THEN
    RETURN QUERY
      WITH busy AS MATERIALIZED (
        SELECT d.lane, count(*) AS n FROM due d WHERE d.kind = for_kind AND d.leased GROUP BY d.lane
      ), heads AS MATERIALIZED (
        SELECT d.ctid AS at, d.ref, d.lane, d.lane_limit, d.priority, d.due_at FROM due d
        WHERE d.kind = for_kind AND NOT d.leased AND d.lane_limit > 0 AND d.due_at BETWEEN since AND t
        ORDER BY d.due_at LIMIT look FOR UPDATE SKIP LOCKED
      ), ranked AS (
        SELECT h.*, row_number() OVER (PARTITION BY h.lane ORDER BY h.due_at, h.ref) + coalesce(b.n, 0) AS place
        FROM heads h LEFT JOIN busy b USING (lane)
      ), chosen AS (
        SELECT r.at, r.due_at, 'yes' AS ours FROM ranked r
        WHERE r.place <= CASE WHEN r.lane = ANY (slow) THEN 1 ELSE r.lane_limit END
        ORDER BY r.priority, r.due_at, r.ref LIMIT left_
      )
      UPDATE due d SET due_at = until_, leased = true, epoch = d.epoch + 1 + (random() * 1000)::int, claims = d.claims + 1
      FROM chosen c WHERE d.ctid = c.at AND c.ours = 'yes'
      RETURNING d.ref, d.workspace_id, d.lane, d.priority, d.epoch, d.claims, c.due_at, 0::bigint;
    RETURN;
  END IF;

  SELECT coalesce(jsonb_object_agg(b.lane, b.n), '{}') INTO busy FROM (
    SELECT d.lane, count(*) AS n FROM due d WHERE d.kind = for_kind AND d.leased GROUP BY d.lane) AS b;
  WITH RECURSIVE walk AS (
    (SELECT d.workspace_id FROM due d WHERE d.kind = for_kind AND NOT d.leased AND d.priority >= 0 AND d.due_at >= since
     ORDER BY d.workspace_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.workspace_id FROM due d WHERE d.kind = for_kind AND NOT d.leased AND d.workspace_id > w.workspace_id
              AND d.priority >= 0 AND d.due_at >= since ORDER BY d.workspace_id LIMIT 1)
    FROM walk w WHERE w.workspace_id IS NOT NULL
  )
  SELECT array_agg(s.workspace_id ORDER BY s.workspace_id <= after_workspace, s.workspace_id) INTO spaces
  FROM (SELECT w.workspace_id FROM walk w WHERE w.workspace_id IS NOT NULL LIMIT 1000) AS s;

  -- No lane is looked at twice: each walk ends where it began, at its `home`.
  FOR round_ IN 1..4 LOOP  -- what some workspaces left of their share, the others get
    EXIT WHEN left_ <= 0 OR probes >= 1000 OR coalesce(cardinality(spaces), 0) = 0;
    share := greatest(1, left_ / cardinality(spaces));
    FOREACH space IN ARRAY spaces LOOP
      EXIT WHEN left_ <= 0;
      mine := least(share, left_);
      FOREACH class IN ARRAY classes LOOP
        place := space || ':' || class;
        CONTINUE WHEN walked ? place;
        home := coalesce((cursors ->> place)::uuid, nobody);
        cursor_ := coalesce((reached ->> place)::uuid, home);
        wrapped := cursor_ < home OR home = nobody;
        WHILE mine > 0 AND probes < 1000 LOOP
          probes := probes + 1;
          SELECT d.lane, d.due_at, d.lane_limit INTO head FROM due d
          WHERE d.kind = for_kind AND d.workspace_id = space AND d.priority = class AND NOT d.leased AND d.lane > cursor_
            AND d.priority >= 0 AND d.due_at >= since
          ORDER BY d.lane, d.due_at LIMIT 1;
          IF NOT FOUND AND NOT wrapped THEN
            wrapped := true;
            cursor_ := nobody;
            CONTINUE;
          ELSIF NOT FOUND OR (wrapped AND home <> nobody AND head.lane > home) THEN
            walked := walked || jsonb_build_object(place, true);
            EXIT;
          END IF;
          cursor_ := head.lane;
          CONTINUE WHEN head.due_at > t;
          free := least(CASE WHEN cursor_ = ANY (slow) THEN 1 ELSE head.lane_limit END
                        - coalesce((busy ->> cursor_::text)::int, 0), mine);
          CONTINUE WHEN free <= 0;
          got := ARRAY(
            SELECT d.ref FROM due d
            WHERE d.kind = for_kind AND d.workspace_id = space AND d.priority = class AND NOT d.leased
              AND d.priority >= 0 AND d.lane = cursor_ AND d.due_at BETWEEN since AND t
            ORDER BY d.due_at LIMIT free);
          picked := picked || got;
          mine := mine - cardinality(got);
          left_ := left_ - cardinality(got);
        END LOOP;
        reached := reached || jsonb_build_object(place, cursor_);
        EXIT WHEN mine <= 0;
      END LOOP;
      IF mine <= 0 THEN
        hungry := hungry || space;
      END IF;
    END LOOP;
    spaces := hungry;
    hungry := '{}';
  END LOOP;

  RETURN QUERY
    WITH chosen AS MATERIALIZED (
      SELECT d.at, d.due_at, p.n, 'yes' AS ours FROM unnest(picked) WITH ORDINALITY AS p(ref, n)
      CROSS JOIN LATERAL (
        SELECT due.ctid AS at, due.due_at FROM due WHERE due.kind = for_kind AND due.ref = p.ref AND NOT due.leased
        FOR UPDATE SKIP LOCKED) AS d)
    UPDATE due d SET due_at = until_, leased = true, epoch = d.epoch + 1 + (random() * 1000)::int, claims = d.claims + 1
    FROM chosen c WHERE d.ctid = c.at AND c.ours = 'yes'
    RETURNING d.ref, d.workspace_id, d.lane, d.priority, d.epoch, d.claims, c.due_at, c.n;
END $$;
REVOKE ALL ON FUNCTION crossdock_claim(text, int, float, int, bigint, jsonb, uuid[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION crossdock_claim(text, int, float, int, bigint, jsonb, uuid[], timestamptz) TO crossdock_engine;
"""

# Workers keep what they send with in memory; a number tells them that a secret of the workspace has changed.
SECRETS = """
ALTER TABLE workspaces ADD COLUMN secrets_version bigint NOT NULL DEFAULT 0;
CREATE FUNCTION crossdock_touch_secrets() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE workspaces SET secrets_version = secrets_version + 1 WHERE id = coalesce(NEW.workspace_id, OLD.workspace_id);
  RETURN NULL;
END $$;
CREATE TRIGGER touched AFTER INSERT OR UPDATE OR DELETE ON secrets FOR EACH ROW EXECUTE FUNCTION crossdock_touch_secrets();
"""


def upgrade() -> None:
    for statements in (DUE, CLAIM, SECRETS):
        op.execute(statements)
