"""Reverting a run: each record that it wrote is put back as it was before, unless somebody has changed it since.

What is there decides, so that a revert that comes twice does nothing the second time: a record that is as before is done, one that
is as the run wrote it is put back, any other was changed since and is left, with a reason.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from server.kernel.errors import CrossdockError, Permanent, code
from server.kernel.ids import show
from server.store.values import write_json
from server.syncs import batches, changes, progress
from server.syncs.batches import Made, Outcome, Place
from server.syncs.engine import Slice
from server.syncs.images import lookup
from server.syncs.preview import same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from server.sdk.context import Context
    from server.sdk.sources import Key, Row
    from server.sdk.targets import Action, Destination, Target
    from server.syncs.changes import Change
    from server.syncs.ends import TargetEnd
    from server.syncs.job import Job

NOT_REVERTIBLE = code(
    "NOT_REVERTIBLE", "Of this run it is not kept what was there before it: nothing was written, or its time is over."
)
Act = Literal["nothing", "remove", "put_back", "leave"]
_CANNOT = frozenset({"TARGET_CANNOT", "NO_ARCHIVE_FIELD"})
_LEDGER = """
UPDATE sync_records SET hash = ''::bytea, run_id = %(run)s, updated_at = now(), gone_at = CASE WHEN key = ANY(%(gone)s) THEN now() END
WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND key = ANY(%(keys)s)
"""
_RESULT = "UPDATE sync_runs SET result = %(result)s WHERE workspace_id = %(workspace)s AND id = %(run)s"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is done with a record, and why where it is left."""

    act: Act
    reason: str | None = None


def judge(
    change: Change, there: tuple[Row | None] | None, *, force: bool = False, ignored: str | None = None
) -> Verdict:
    """Say what reverting a record does, by what the target holds now; the field `ignored` is set by archiving."""
    if there is None:
        return Verdict("leave", "the target cannot tell what is there now")
    live, wanted = there[0], put_back(change)
    if _is(wanted, live):
        return Verdict("nothing")
    if change.before is not None and not wanted:
        return Verdict("leave", "what was there before has none of the record's fields")
    if not force:
        if change.later is not None:
            return Verdict("leave", f"{show('run', change.later)} has written it since")
        if not _is_ours(change, live, ignored):
            return Verdict("leave", "it was changed in the target since")
    return Verdict("remove" if change.before is None else "put_back")


def put_back(change: Change) -> Row | None:
    """Return what has to stand in the target: of what was there before, the fields that the run wrote."""
    if change.before is None or change.written is None:
        return change.before
    return {name: change.before[name] for name in change.written if name in change.before}


def _is(wanted: Row | None, live: Row | None) -> bool:
    if wanted is None or live is None:
        return wanted is live
    return all(same(value, live.get(name)) for name, value in wanted.items())


def _is_ours(change: Change, live: Row | None, ignored: str | None) -> bool:
    """Say whether the target holds what the run left: the record, or nothing, or what it archived."""
    if change.written is not None:
        return live is not None and _is(change.written, live)
    before = {name: value for name, value in (change.before or {}).items() if name != ignored}
    return live is None or _is(before, live)


class Reverting(Slice):
    """A slice of a revert. The run's counters: written is put back, deleted is removed, unchanged was as before, refused is left."""

    def work(self) -> bool:
        """Revert batch by batch, until nothing is left or the time is over."""
        options = self.run.options or {}
        of, self.force = UUID(options["run"]), bool(options.get("force"))
        self.to = upserting(self.to)
        while time.monotonic() <= self.until:
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                todo = changes.todo(conn, self.run.workspace_id, self.run.job_id, of, self.run.run, self.job.batch)
                if not todo:
                    self._end(conn)
                    return True
                if self.run.total is None:
                    self.run.total = changes.count(conn, self.run.workspace_id, self.run.job_id, of)
            self._batch(of, todo)
        return False

    def _batch(self, of: UUID, todo: Sequence[Change]) -> None:
        there = lookup(self.target, self.to, [each.target_key for each in todo])
        ignored = self.job.target.options.get("archive_field")
        verdicts = {
            each.key: judge(each, live, force=self.force, ignored=ignored)
            for each, live in zip(todo, there, strict=True)
        }
        left = {key: each.reason for key, each in verdicts.items() if each.act == "leave"}
        back = [each for each in todo if verdicts[each.key].act == "put_back"]
        gone = [each for each in todo if verdicts[each.key].act == "remove"]
        left.update(self._put_back(back))
        left.update(self._take_away(gone))
        done = [(each.key, "left" if each.key in left else "reverted", left.get(each.key)) for each in todo]
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            changes.mark(conn, self.run.workspace_id, of, self.run.run, done)
            self._settle(conn, todo, left)
            run = self.run
            run.batches, run.attempts, run.error, run.phase = run.batches + 1, 0, None, "read"
            run.read += len(todo)
            run.written += sum(each.key not in left for each in back)
            run.deleted += sum(each.key not in left for each in gone)
            run.unchanged += sum(each.act == "nothing" for each in verdicts.values())
            run.refused += len(left)
            progress.save(conn, run)

    def _put_back(self, back: Sequence[Change]) -> dict[str, str]:
        """Write what was there before; return why some could not be written."""
        made = [Made({}, each.key, self._once(each), self._image(each), each.target_key) for each in back]
        done = Outcome()
        batches.write(self.job, self.target, self.to, made, Place(str(self.run.run)), done)
        return {each.key: each.error.message for each in done.refused if each.key is not None}

    def _image(self, change: Change) -> Row:
        return {**dict(zip(self.job.target.match_on, change.target_key, strict=True)), **(put_back(change) or {})}

    def _once(self, change: Change) -> bytes:
        """Return what makes the idempotency key of a record one of this revert."""
        return blake2b(f"{self.run.run}:{change.key}".encode(), digest_size=16).digest()

    def _take_away(self, gone: Sequence[Change]) -> dict[str, str]:
        """Remove what the run has made: deleted, or archived where the target knows no deleting."""
        if not gone:
            return {}
        result = remove_or_archive(self.target, self.to, [each.target_key for each in gone])
        if isinstance(result, CrossdockError):
            return {each.key: result.message for each in gone}
        return {gone[number].key: error.message for number, error in result.items()}

    def _settle(self, conn: Connection, todo: Sequence[Change], left: dict[str, Any]) -> None:
        """Let the ledger forget what was written: these rows are no longer unchanged, and what is removed is gone."""
        done = [each for each in todo if each.key not in left]
        values = {"workspace": self.run.workspace_id, "job": self.run.job_id, "run": self.run.run}
        gone = sorted(each.key for each in done if each.before is None)
        conn.exec_driver_sql(_LEDGER, {**values, "keys": sorted(each.key for each in done), "gone": gone})

    def _end(self, conn: Connection) -> None:
        run = self.run
        result = {"put_back": run.written, "removed": run.deleted, "as_before": run.unchanged, "left": run.refused}
        store_result(conn, run, result)
        progress.end(conn, self.claim, run, "succeeded")


def store_result(conn: Connection, run: progress.Progress, result: dict[str, Any]) -> None:
    """Keep what a run came to."""
    values = {"workspace": run.workspace_id, "run": run.run, "result": write_json(result)}
    conn.exec_driver_sql(_RESULT, values)


def upserting(to: Destination) -> Destination:
    """Return a destination where what is missing is made, and what is there changed."""
    return replace(to, mode="upsert")


def remove_or_archive(
    target: TargetEnd, to: Destination, keys: Sequence[Key]
) -> CrossdockError | dict[int, CrossdockError]:
    """Delete, or archive where the target does not delete; return what failed by its index, or why neither is possible."""
    actions: tuple[Action, ...] = ("delete", "archive")
    refusal: CrossdockError = Permanent("the target neither deletes nor archives", code="TARGET_CANNOT", source="sync")
    for action in actions:

        def remove(end: Target, context: Context, action: Action = action) -> Any:
            return end.remove(to, keys, action, context) if action in end.actions else None

        try:
            result = target.do(remove)
        except Permanent as error:
            if error.code not in _CANNOT:
                raise
            refusal = error
            continue
        if result is not None:
            return dict(result.failed)
    return refusal


def foreseen(
    target: TargetEnd, job: Job, to: Destination, todo: Sequence[Change], *, force: bool
) -> list[dict[str, Any]]:
    """Return what reverting these records would do; nothing is written."""
    there = lookup(target, upserting(to), [each.target_key for each in todo]) if todo else []
    ignored = job.target.options.get("archive_field")
    shown = []
    for change, live in zip(todo, there, strict=True):
        verdict = judge(change, live, force=force, ignored=ignored)
        shown.append({"key": change.key, "action": verdict.act, "reason": verdict.reason, "to": put_back(change)})
    return shown
