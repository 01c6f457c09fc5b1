"""Tokens that other systems gave us, shared by all processes: one row per workspace and declaration, encrypted like secrets."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# `fingerprint` is of the whole declaration with its secrets, under the key ring: another secret is another row.
TOKENS = """
CREATE TABLE credential_tokens (
  workspace_id bigint NOT NULL REFERENCES workspaces,
  fingerprint text NOT NULL,
  generation bigint NOT NULL DEFAULT 0,  -- rises with each token
  key_id text,
  ciphertext bytea,
  asked_at timestamptz,
  expires_at timestamptz,
  forced_at timestamptz,  -- when a 401 made us ask last
  lease uuid,  -- who asks now
  leased_until timestamptz,
  failures int NOT NULL DEFAULT 0,
  failure jsonb,
  retry_at timestamptz,  -- nobody asks before it
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, fingerprint)
);
ALTER TABLE credential_tokens ENABLE ROW LEVEL SECURITY;
CREATE POLICY engine ON credential_tokens TO crossdock_engine USING (true) WITH CHECK (true);
CREATE POLICY tenant ON credential_tokens TO crossdock_api
  USING (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint)
  WITH CHECK (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint);
GRANT SELECT, INSERT, UPDATE, DELETE ON credential_tokens TO crossdock_engine, crossdock_api;
"""


def upgrade() -> None:
    op.execute(TOKENS)
