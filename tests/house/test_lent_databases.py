"""The database that tests share one after the other: each finds it as if it were new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.databases import GROWN, Lent, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = "SELECT (SELECT count(*) FROM organizations), (SELECT count(*) FROM pg_namespace WHERE nspname = 'shop')"
ADD = "INSERT INTO organizations (name) VALUES ('acme') RETURNING id"


@pytest.fixture(scope="module")
def lent(_database_server: str, _template: str) -> Iterator[Lent]:
    lent = Lent(_database_server, _template)
    yield lent
    lent.close()


def test_rows_ids_and_schemas_are_gone_and_the_database_is_the_same(lent: Lent) -> None:
    url = lent.take()
    with connect(url) as connection:
        assert connection.execute(ADD).fetchone() == (1,)
        connection.execute("CREATE SCHEMA shop CREATE TABLE shop.customers (id int)")
    lent.give_back()
    assert lent.take() == url
    with connect(url) as connection:
        assert connection.execute(ROWS).fetchone() == (0, 0)
        assert connection.execute(ADD).fetchone() == (1,)
    lent.give_back()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE organizations ADD COLUMN more int",
        "DROP POLICY tenant ON webhooks",
        "REVOKE ALL ON organizations FROM crossdock_api",
        f"INSERT INTO organizations (name) SELECT repeat('x', 100) || n FROM generate_series(1, {GROWN // 100}) n",
        "INSERT INTO organizations (name) SELECT 'o' || n FROM generate_series(1, 100) n; ANALYZE organizations",
    ],
)
def test_a_database_that_was_changed_or_has_grown_is_not_lent_again(lent: Lent, change: str) -> None:
    url = lent.take()
    with connect(url) as connection:
        connection.execute(change.encode())
    lent.give_back()
    other = lent.take()
    assert other != url
    with connect(other) as connection:
        assert connection.execute(ROWS).fetchone() == (0, 0)
    lent.give_back()


def test_a_database_to_which_somebody_is_still_connected_is_not_lent_again(lent: Lent) -> None:
    url = lent.take()
    with connect(url):
        lent.give_back()
        assert lent.take() != url
    lent.give_back()


def test_a_test_may_end_every_connection(lent: Lent) -> None:
    url = lent.take()
    with connect(url) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    lent.give_back()
    assert lent.take() != url
    lent.give_back()
