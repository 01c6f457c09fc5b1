"""Databases of others: which URLs, addresses and files are reached."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import text

from server.kernel.errors import CrossdockError, Permanent
from server.transport.addresses import AddressPolicy
from server.transport.databases import DATABASE_URL_REFUSED, Databases, Reach
from server.transport.names import Resolver
from server.transport.sqlite_files import FILE_MISSING, FILE_REFUSED

LOOPBACK = AddressPolicy(["127.0.0.0/8"])


@pytest.fixture
def databases():
    made = Databases()
    yield made
    made.close()


def reached(databases, url, policy=LOOPBACK, folder=None, owner="a"):
    with databases.engine(owner, url, Reach(policy, folder)).connect() as connection:
        return connection.execute(text("SELECT 1")).scalar()


def code_of(databases, url, policy=LOOPBACK, folder=None):
    with pytest.raises(CrossdockError) as raised:
        reached(databases, url, policy, folder)
    assert "hidden-word" not in str(raised.value.failure)
    return raised.value.code


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hidden-word@h/d?sslkey=/etc/passwd",
        "postgresql://u:hidden-word@h/d?service=x",
        "postgresql://u:hidden-word@h/d?host=10.0.0.1",
        "postgresql://u:hidden-word@h/d?hostaddr=10.0.0.1",
        "postgresql://u:hidden-word@h/d?sslmode=disable",
        "postgresql://u:hidden-word@h/d?sslmode=require&sslmode=verify-full",
        "postgresql://u:hidden-word@h/d?options=-c%20x",
        "postgresql://u:hidden-word@/d",
        "postgresql://u:hidden-word@a,b/d",
        "postgresql://u:hidden-word@%2Fvar%2Frun/d",
        "postgresql://u:hidden-word@h/",
        "postgresql://u:hidden-word@h/host=10.0.0.1",
        "postgresql+asyncpg://u:hidden-word@h/d",
        "mysql://u:hidden-word@h/d?local_infile=1",
        "mysql+mysqldb://u:hidden-word@h/d",
        "oracle://u:hidden-word@h/d",
        "http://u:hidden-word@h/d",
        "nothing",
        "sqlite://h/file.db",
        "sqlite:///file.db?mode=rwc",
    ],
)
def test_a_url_that_could_lead_elsewhere_is_refused(databases, url, tmp_path):
    assert code_of(databases, url, folder=tmp_path) == DATABASE_URL_REFUSED


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[::1]", "127.0.0.1"])
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_an_address_that_must_not_be_reached_is_refused(databases, scheme, host):
    assert code_of(databases, f"{scheme}://u:hidden-word@{host}/d", AddressPolicy()) == "ADDRESS_REFUSED"


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_name_with_one_refused_address_is_refused(scheme):
    resolver = Resolver(lambda _host, _port: ["8.8.8.8", "10.0.0.1"])
    made = Databases(resolver)
    assert code_of(made, f"{scheme}://u:hidden-word@rebound.test/d", AddressPolicy()) == "ADDRESS_REFUSED"
    made.close()
    resolver.close()


def test_the_lowest_ports_of_public_addresses_are_not_reached(databases):
    assert code_of(databases, "postgresql://u:hidden-word@8.8.8.8:25/d", AddressPolicy()) == "ADDRESS_REFUSED"


def test_the_vetted_address_is_the_one_that_is_dialled(empty_database_url):
    """The name is known to nobody but our resolver, so a second look-up would fail."""
    resolver = Resolver(lambda _host, _port: ["127.0.0.1"])
    made = Databases(resolver)
    url = (
        empty_database_url.replace("+psycopg", "").replace("127.0.0.1", "db.invalid").replace("localhost", "db.invalid")
    )
    assert "db.invalid" in url
    assert reached(made, url) == 1
    made.close()
    resolver.close()


@pytest.mark.parametrize("name", ["../other/shop.db", "/etc/passwd", "link.db", ":memory:", "", "file:shop.db", "."])
def test_a_file_outside_of_the_workspace_s_folder_is_refused(databases, tmp_path, name):
    mine, other = tmp_path / "mine", tmp_path / "other"
    for each in (mine, other):
        each.mkdir()
        sqlite3.connect(each / "shop.db").close()
    (mine / "link.db").symlink_to(other / "shop.db")
    assert code_of(databases, f"sqlite:///{name}", folder=mine) == FILE_REFUSED
    assert reached(databases, "sqlite:///shop.db", folder=mine) == 1


def test_no_file_is_reached_where_no_folder_is_set_and_none_is_made(databases, tmp_path):
    assert code_of(databases, "sqlite:///shop.db") == FILE_REFUSED
    assert code_of(databases, "sqlite:///shop.db", folder=tmp_path) == FILE_MISSING
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sql", ["ATTACH DATABASE '{}' AS x", "SELECT load_extension('{}')"])
def test_a_connection_to_a_file_reaches_no_other(databases, tmp_path, sql):
    for name in ("mine.db", "other.db"):
        sqlite3.connect(tmp_path / name).close()
    engine = databases.engine("a", "sqlite:///mine.db", Reach(LOOPBACK, tmp_path))
    with engine.connect() as connection, pytest.raises(Exception, match="not authorized"):
        connection.execute(text(sql.format(tmp_path / "other.db")))


def test_no_two_workspaces_share_connections(databases, tmp_path):
    sqlite3.connect(tmp_path / "shop.db").close()
    reach = Reach(LOOPBACK, tmp_path)
    first = databases.engine("a/one", "sqlite:///shop.db", reach)
    assert databases.engine("a/one", "sqlite:///shop.db", reach) is first
    assert databases.engine("b/one", "sqlite:///shop.db", reach) is not first


def test_engines_are_bounded(databases, tmp_path):
    sqlite3.connect(tmp_path / "shop.db").close()
    reach = Reach(LOOPBACK, tmp_path)
    first = databases.engine("0", "sqlite:///shop.db", reach)
    for number in range(1, 70):
        databases.engine(str(number), "sqlite:///shop.db", reach)
    assert databases.engine("0", "sqlite:///shop.db", reach) is not first


def test_a_missing_driver_is_named(databases, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pymysql", None)
    with pytest.raises(Permanent) as raised:
        databases.engine("a", "mysql://u:p@127.0.0.1/d", Reach(LOOPBACK))
    assert raised.value.code == "DATABASE_DRIVER_MISSING"
