"""Whether a record could be a customer's: rules that a schema cannot say, or that a caller wants to hear of all at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.sales import customers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{4,}")
_COUNTRY = re.compile(r"[A-Z]{2}")


def validate(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `customers.validate`."""
    errors = [{"field": field, "message": message} for field, message in _problems(desk, given)]
    return {"valid": not errors, "errors": errors}


def _problems(desk: Desk, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in ("external_id", "name"):
        if not (given.get(field) or "").strip():
            yield field, "it is missing"
    for field, form, example in (
        ("email", _EMAIL, "name@example.com"),
        ("phone", _PHONE, "+49 30 1234567"),
        ("country", _COUNTRY, "DE"),
    ):
        value = given.get(field)
        if value is not None and not form.fullmatch(value):
            yield field, f"it has not the form of {example}"
    email = given.get("email")
    if email is not None:
        there = customers.find(desk, "email", [email]).get(email)
        if there is not None and there.external_id != given.get("external_id"):
            yield "email", "another customer has it"
