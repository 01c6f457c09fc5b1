"""Where an event stands in the order of commits, and the indexes by which chains, sources and streams are read.

`xid` is the transaction that stored the event. Ids are made before a transaction commits, and by clocks that differ: whoever reads
on from the newest id that they saw misses what commits later with an older one. A snapshot says of every transaction whether it had
ended, so that "visible now and not then" is exact (see server/events/position.py). NULL: stored before this migration, or restored
from a dump into a server that counts anew.
"""

from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

EVENTS = """
ALTER TABLE events ADD COLUMN xid xid8;
ALTER TABLE events ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
CREATE INDEX events_by_commit ON events (workspace_id, xid) WHERE xid IS NOT NULL;
CREATE INDEX events_by_source ON events (workspace_id, source, uid);
CREATE INDEX events_by_causation ON events (workspace_id, causation_id, uid) WHERE causation_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(EVENTS)
