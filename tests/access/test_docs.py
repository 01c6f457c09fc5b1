"""docs/security.md says what the tables in the code say."""

from __future__ import annotations

from pathlib import Path

from server.access import authentication, throttle
from server.web import bodies, idempotency
from server.web.permissions import PERMISSIONS, ROLES, TOKEN_ROLES

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")


def test_the_table_of_permissions_is_that_of_the_code():
    table = PAGE.partition("## Who may\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| `")
    ]
    assert {row[0].strip("`"): row[1] for row in rows} == PERMISSIONS
    for name, _, *cells in rows:
        assert [cell == "yes" for cell in cells] == [name.strip("`") in ROLES[role] for role in TOKEN_ROLES], name


def test_the_figures_are_those_of_the_code():
    for figure in (
        f"**{authentication.TTL:g} seconds**",
        f"After {throttle.LIMIT} wrong tokens",
        f"nesting beyond {bodies.DEPTH_LIMIT}",
        f"after {idempotency.LOCK_SECONDS} s",
        f"for {idempotency.KEPT_HOURS} hours",
    ):
        assert figure in PAGE, figure
