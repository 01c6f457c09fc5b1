"""Fan-outs cost less: lanes that hold one row each are claimed many at a time, and what is written first is known to be first."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# As in 0003, but for `many`: one look along the index for each lane is dear where ten thousand lanes hold one row each, as after a
# fan-out. After four lanes in a row that held less than they may have under way, the next two hundred rows are seen in one look.
CLAIM = """
CREATE OR REPLACE FUNCTION crossdock_claim(
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
  shallow int := 0;
  near_ record;
  many CONSTANT int := 200;
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
        shallow := 0;
        WHILE mine > 0 AND probes < 1000 LOOP
          probes := probes + 1;
          IF shallow >= 4 THEN
            probes := probes + 20;
            WITH near AS MATERIALIZED (
              SELECT d.ref, d.lane, d.due_at, d.lane_limit FROM due d
              WHERE d.kind = for_kind AND d.workspace_id = space AND d.priority = class AND NOT d.leased AND d.lane > cursor_
                AND d.priority >= 0 AND d.due_at >= since
              ORDER BY d.lane, d.due_at LIMIT many
            ), whole AS MATERIALIZED (  -- the last lane may go on behind what was seen
              SELECT n.* FROM near n
              WHERE (SELECT count(*) FROM near) < many OR n.lane < (SELECT l.lane FROM near l ORDER BY l.lane DESC LIMIT 1)
            ), fits AS (
              SELECT w.ref, w.lane, w.due_at, CASE WHEN w.lane = ANY (slow) THEN 1 ELSE w.lane_limit END
                       - coalesce((busy ->> w.lane::text)::int, 0) AS free,
                     row_number() OVER (PARTITION BY w.lane ORDER BY w.due_at) AS n
              FROM whole w WHERE NOT wrapped OR home = nobody OR w.lane <= home
            ), taken AS MATERIALIZED (
              SELECT f.ref, f.lane, row_number() OVER (ORDER BY f.lane, f.n) AS place FROM fits f
              WHERE f.due_at <= t AND f.n <= f.free ORDER BY f.lane, f.n LIMIT mine
            )
            SELECT coalesce((SELECT array_agg(k.ref ORDER BY k.place) FROM taken k), '{}') AS refs,
                   (SELECT k.lane FROM taken k ORDER BY k.place DESC LIMIT 1) AS last,
                   (SELECT w.lane FROM whole w ORDER BY w.lane DESC LIMIT 1) AS farthest,
                   (SELECT count(DISTINCT w.lane) FROM whole w) AS lanes INTO near_;
            IF near_.lanes < 8 THEN  -- the end is near, or lanes are deep again
              shallow := 0;
              CONTINUE;
            END IF;
            picked := picked || near_.refs;
            mine := mine - cardinality(near_.refs);
            left_ := left_ - cardinality(near_.refs);
            cursor_ := CASE WHEN mine > 0 THEN near_.farthest ELSE near_.last END;
            CONTINUE;
          END IF;
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
          shallow := CASE WHEN cardinality(got) < free THEN shallow + 1 ELSE 0 END;
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
"""

# `written` is how many deliveries of a fan-out there are already: the first chunks are small, so that the first leave at once.
WRITTEN = "ALTER TABLE fanouts ADD COLUMN written int NOT NULL DEFAULT 0"

# The same as in 0015, two letters at a time.
_PAIRS = "".join(
    one + other for one in "abcdefghijklmnopqrstuvwxyz234567" for other in "abcdefghijklmnopqrstuvwxyz234567"
)
_LETTERS = " || ".join(
    f"substring(pairs, (p{part} >> {30 - 10 * place} & 1023)::int * 2 + 1, 2)"
    for part in range(4)
    for place in range(4)
)
_PARTS = "\n".join(
    f"  p{part} CONSTANT bigint := ('x' || substr(hex, {part * 10 + 1}, 10))::bit(40)::bigint;" for part in range(4)
)
MESSAGE_ID = f"""
CREATE OR REPLACE FUNCTION crossdock_message_id(event uuid, webhook uuid) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  pairs CONSTANT bytea := '{_PAIRS}';
  hex CONSTANT text := encode(sha256(uuid_send(event) || uuid_send(webhook)), 'hex');
{_PARTS}
BEGIN
  RETURN 'msg_' || convert_from({_LETTERS}, 'UTF8');
END $$;
"""


def upgrade() -> None:
    for statements in (CLAIM, WRITTEN, MESSAGE_ID):
        op.execute(statements)
