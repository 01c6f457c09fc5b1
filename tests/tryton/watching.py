"""A workspace whose ERP is the Tryton of the tests, with definitions as somebody edits them, and its sync jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.product import until

if TYPE_CHECKING:
    from tests.support.product import Product
    from tests.tryton.server import TrytonServer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "definitions/flows"
EVENTS = ROOT / "plugins/tryton/definitions/tryton-events.yaml"
INITIAL = "2027-01-01T00:00:00Z"
SECONDS = 90.0
_CHANGES = """
SELECT type, subject, data::json AS data, count(*) OVER (PARTITION BY type, subject) AS times FROM events
WHERE source = 'webhook/tryton-events' ORDER BY uid
"""


def files(config: str, since: str, *names: str) -> list[dict[str, str]]:
    """Return the definitions as somebody edits them: the plugin of `erp`, its config, and from when on something is told."""
    texts = {name: (FOLDER / f"{name}.yaml").read_text("utf-8") for name in (*names, "erp")}
    texts["erp"] = texts["erp"].replace("plugin: erp_sandbox\n", f"plugin: tryton\nconfig: {config}\n", 1)
    texts["tryton-events"] = EVENTS.read_text("utf-8").replace(INITIAL, since)
    return [{"path": f"{name}.yaml", "text": text} for name, text in sorted(texts.items())]


CONFIG = "{{url: {url!r}, database: erp, key: {{secret: TRYTON_KEY}}, company: {company}, employee: {employee}}}"


def config_of(server: TrytonServer) -> str:
    """Return the config of an integration with the Tryton of the tests."""
    return CONFIG.format(**{name: server.config[name] for name in ("url", "company", "employee")})


class Watched:
    """A workspace with the flows, whose ERP is the Tryton of the tests, and the sync jobs that watch it."""

    def __init__(self, product: Product, server: TrytonServer, given: list[dict[str, str]]) -> None:
        self.product, self.client = product, product.client()
        self._ask("PUT", "secrets/TRYTON_KEY", {"value": server.config["key"]})
        self._ask("POST", "definitions/apply", {"files": given, "origin": "folder:flows"})
        jobs = self._ask("GET", "sync-jobs", None)["items"]
        self.jobs = sorted(each["name"] for each in jobs)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        answer = self.client.open(f"/api/v1/{path}", method=method, json=body)
        assert answer.status_code < 300, answer.get_json()
        return answer.get_json()

    def look(self, *jobs: str) -> None:
        """Run sync jobs, all of them where none is named, as their schedule does each minute."""
        runs = [self._ask("POST", f"sync-jobs/{name}/runs", {})["id"] for name in jobs or self.jobs]
        for run in runs:
            done = until(lambda run=run: self._done(run), SECONDS, f"{run} does not end")
            assert done["state"] == "succeeded", done

    def _done(self, run: str) -> Any:
        found = self._ask("GET", f"sync-runs/{run}", None)
        return found if found["ended_at"] else None

    def told(self) -> dict[str, Any]:
        """Return the last change of each type that was told."""
        return {each.type: each for each in self.product.rows(_CHANGES)}

    def run(self, flow: str, state: str) -> Any:
        """Return the run of a flow once it is in a state."""
        sql = "SELECT r.* FROM flow_runs r JOIN flows f ON f.id = r.flow_id WHERE f.name = :flow"

        def found() -> Any:
            runs = self.product.rows(sql, flow=flow)
            assert not [each.error for each in runs if each.state in ("failed", "compensated") != state]
            return next((each for each in runs if each.state == state), None)

        return until(found, SECONDS, f"{flow} is not {state}")
