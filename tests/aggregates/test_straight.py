"""What is given to the driver itself belongs to the transaction, and fails as everything else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.exc import DataError, IntegrityError

from server.kernel.errors import Unavailable
from server.store import straight

if TYPE_CHECKING:
    from tests.support.product import Product

ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def test_rows_are_tuples_or_have_names_and_a_statement_without_an_answer_has_none(product: Product) -> None:
    with product.core.engine.connect() as conn:
        assert straight.rows(conn, "SELECT %s::int, %s::text", (1, "a")) == [(1, "a")]
        [row] = straight.named(conn, "SELECT %(n)s::int AS n, '{\"a\": 1.50}'::jsonb AS body", {"n": 2})
        assert (row.n, str(row.body["a"])) == (2, "1.50")
        assert straight.rows(conn, "UPDATE organizations SET name = name WHERE false") == []


def test_it_is_rolled_back_with_its_transaction(product: Product) -> None:
    def fail() -> None:
        with product.core.engine.connect() as conn:
            straight.rows(conn, "INSERT INTO organizations (name) VALUES ('gone')")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert product.rows("SELECT 1 FROM organizations WHERE name = 'gone'") == []


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT 1 / 0", DataError),
        ("INSERT INTO organizations (name) VALUES ('twice'), ('twice')", IntegrityError),
    ],
)
def test_it_fails_as_a_statement_of_the_library_does(product: Product, statement: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as theirs, product.core.engine.connect() as conn:
        conn.exec_driver_sql(statement)
    with pytest.raises(kind) as ours, product.core.engine.connect() as conn:
        straight.rows(conn, statement)
    assert type(ours.value.orig) is type(theirs.value.orig)  # type: ignore[attr-defined]
    with product.core.engine.connect() as conn:
        assert straight.rows(conn, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("way", ["connect", "statements"])
def test_a_server_that_is_gone_costs_one_refusal_and_not_one_for_each_connection(product: Product, way: str) -> None:
    begin = getattr(product.core.engine, way)
    with begin() as first, begin() as second, begin() as third:
        for conn in (first, second, third):
            straight.rows(conn, "SELECT 1")
    with psycopg.connect(product.settings.database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(ENDED.encode())
    with pytest.raises(Unavailable), begin() as conn:
        straight.rows(conn, "SELECT 1")
    for _ in range(3):
        with begin() as conn:
            assert straight.rows(conn, "SELECT 1") == [(1,)]


def test_a_statement_of_its_own_is_committed_when_it_is_done(product: Product) -> None:
    with product.core.engine.statements() as conn:
        straight.rows(conn, "INSERT INTO organizations (name) VALUES ('kept')")
        assert len(product.rows("SELECT 1 FROM organizations WHERE name = 'kept'")) == 1
