"""What the product reads from the names of migrations, held against what alembic reads in them."""

from __future__ import annotations

from pathlib import Path

from alembic.script import ScriptDirectory

from server.store.migrate import FOLDER, newest


def test_each_file_is_named_by_its_revision_and_the_highest_is_the_head():
    scripts = ScriptDirectory(str(FOLDER))
    revisions = list(scripts.walk_revisions())
    for each in revisions:
        assert Path(each.path).name.startswith(f"{each.revision}_")
    assert newest() == scripts.get_current_head() == max(each.revision for each in revisions)
