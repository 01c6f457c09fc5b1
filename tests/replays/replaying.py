"""Replays without a worker: a job is worked slice by slice, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from server.replays import drain

if TYPE_CHECKING:
    from server.store import Scope
    from tests.support.product import Product

HOOK = "https://shop.example.com/hooks"


def ask(product: Product, status: int = 202, *, scope: Scope | None = None, key: str | None = None, **body: Any) -> Any:
    """Ask for a replay over REST; return the JSON of the answer."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = product.client(scope).post("/api/v1/replays", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json


def see(product: Product, replay: Any) -> Any:
    """Return a replay as it is now."""
    return product.client().get(f"/api/v1/replays/{replay['id']}").json


def act(product: Product, replay: Any, action: str) -> Any:
    """Pause, resume or cancel."""
    return product.client().post(f"/api/v1/replays/{replay['id']}/{action}")


def work(product: Product) -> int:
    """Do one round of slices."""
    return drain.drain(product.core.engine, product.core.reopening)


def finish(product: Product) -> None:
    """Do slices until there is nothing to do."""
    while work(product):
        pass


def run(product: Product, sql: str, **values: Any) -> None:
    """Change the database behind the product's back."""
    with product.core.engine.engine.begin() as conn:
        conn.execute(text(sql), values)


def end(product: Product, state: str = "delivered", version: int | None = None) -> None:
    """End everything that is owed, as if it had been sent with this version of its definition."""
    run(product, "DELETE FROM due WHERE kind = 'delivery'")
    run(
        product,
        """UPDATE deliveries SET state = :state, finished_at = now(), attempts = 1, definition_version = :version
           WHERE state IN ('pending', 'held')""",
        state=state,
        version=version,
    )


def change(product: Product, name: str, version: int, **body: Any) -> None:
    """Apply a new version of a webhook's definition."""
    with product.tx() as tx:
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        webhook = product.core.webhooks.get(tx, name)
        webhook.change({**webhook.body, **body}, version, {})
        product.core.webhooks.save(tx, webhook)


def made(product: Product) -> list[Any]:
    """Return the deliveries that replays have made, oldest event first."""
    return product.rows("SELECT * FROM deliveries WHERE replay_id IS NOT NULL ORDER BY event_uid, webhook_id, id")
