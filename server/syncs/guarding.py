"""Guards: a run stops before it does damage, when a share of the records known is above what its job allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.kernel.errors import Permanent, code

if TYPE_CHECKING:
    from server.syncs.batches import Outcome
    from server.syncs.job import Job
    from server.syncs.progress import Progress

GUARD_STOPPED = code("GUARD_STOPPED", "The run stopped before it did damage: a share is above its guard.")
RECORDS_REFUSED = code("RECORDS_REFUSED", "A record was refused, and the job says that the run fails then.")
_HUNDRED = 100


class Guarded:
    """A run of a job that stops at its guards."""

    run: Progress
    job: Job

    def _vet_changes(self, more: int) -> None:
        share = self.job.guards.max_change_percent
        if share < _HUNDRED and self._above(self.run.written + more, share):
            raise self._stopped("changed", self.run.written + more, share)

    def _vet_deletes(self, more: int) -> bool:
        delete = self.job.target.delete
        if more and delete is not None and self._above(self.run.deleted + more, delete.max_percent):
            raise self._stopped("deleted", self.run.deleted + more, delete.max_percent)
        return True

    def _vet_refused(self, done: Outcome) -> None:
        if done.refused and self.job.on_record_error == "fail":
            first = done.refused[0].error
            message = f"a record was refused: {first.message}"
            raise Permanent(message, code=RECORDS_REFUSED, source="sync", first=first.failure.as_dict())
        if done.refused and self._above(self.run.refused, self.job.guards.max_error_percent):
            raise self._stopped("refused", self.run.refused, self.job.guards.max_error_percent)

    def _above(self, number: int, percent: Any) -> bool:
        """Compare with the records known; while none is known there is no share of anything."""
        return self.run.known > 0 and number * _HUNDRED > percent * self.run.known

    def _stopped(self, what: str, number: int, percent: Any) -> Permanent:
        message = f"{number} records {what} of {self.run.known} known are more than {percent} %"
        return Permanent(message, code=GUARD_STOPPED, source="sync", what=what, number=number, known=self.run.known)
