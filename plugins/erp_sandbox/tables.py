"""The tables, in PostgreSQL and SQLite alike. Every row begins with the company that it belongs to."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

CENT = Decimal("0.01")
PART = Decimal("0.0001")
_TEXT_OF_MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"


class Money(TypeDecorator[Decimal]):
    """Decimal with two places; in SQLite, which would make it a float, a whole number of cents."""

    impl = Numeric
    cache_ok = True
    step = CENT

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        places = -int(self.step.as_tuple().exponent)
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else Numeric(18, places))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Write."""
        return int(value / self.step) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Read."""
        if value is None:
            return None
        return Decimal(value) * self.step if dialect.name == "sqlite" else Decimal(value)


class Quantity(Money):
    """Decimal with four places."""

    cache_ok = True
    step = PART


class Moment(TypeDecorator[datetime]):
    """An aware moment in UTC; in SQLite a text that sorts as the moments do."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        return dialect.type_descriptor(String(27) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Write."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).strftime(_TEXT_OF_MOMENT)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read."""
        if value is None:
            return None
        found = datetime.strptime(value, _TEXT_OF_MOMENT).replace(tzinfo=UTC) if dialect.name == "sqlite" else value
        return found.astimezone(UTC)


def company() -> Column[str]:
    """Return the column that the key of every table begins with."""
    return Column("company", String(400), primary_key=True)


METADATA = MetaData()
CUSTOMERS = Table(
    "customers",
    METADATA,
    company(),
    Column("customer_id", String(64), primary_key=True),
    Column("external_id", String(200)),
    Column("name", String(300), nullable=False),
    Column("email", String(320)),
    Column("phone", String(50)),
    Column("address", String(1000)),
    Column("city", String(200)),
    Column("country", String(2)),
    Column("tax_id", String(50)),
    Column("credit_limit", Money(), nullable=False),
    Column("balance", Money(), nullable=False),
    Column("state", String(20), nullable=False),
    Column("revision", Integer(), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Column("updated_at", Moment(), nullable=False),
    UniqueConstraint("company", "external_id", name="customers_by_external_id"),
    Index("customers_by_change", "company", "updated_at", "customer_id"),
    Index("customers_by_email", "company", "email"),
)
CALLS = Table(
    "calls",
    METADATA,
    company(),
    Column("operation", String(100), primary_key=True),
    Column("key", String(300), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("answer", Text()),  # empty only inside the transaction that does the work
    Column("at", Moment(), nullable=False),
    Index("calls_by_company", "company", "at"),
)
OUTBOX = Table(
    "outbox",
    METADATA,
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("company", String(400), nullable=False),
    Column("id", String(64), nullable=False),
    Column("type", String(200), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("time", Moment(), nullable=False),
    Column("data", Text(), nullable=False),
    Column("correlation_id", String(300), nullable=False),
    Column("cause", String(300)),
    Index("outbox_by_company", "company", "position"),
)
VERSIONS = Table("schema_versions", METADATA, Column("version", Integer(), primary_key=True))
