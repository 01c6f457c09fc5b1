from __future__ import annotations

import psycopg
import redis


def test_the_database_is_there_and_empty(database_url: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT current_database()").fetchone()[0].startswith("test_")
        connection.execute("CREATE TABLE mine ()")


def test_the_next_test_has_another_database(database_url: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)


def test_redis_is_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == []
        client.set("left", "behind")


def test_the_next_test_has_another_redis_or_one_that_is_empty_again(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == []
