"""The port `sales` on parties: the external id is the party's code, which Tryton keeps unique."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.rest import TRYTON_REFUSED
from plugins.tryton.values import STAMPS, amount, exact, stamps
from server.sdk import Permanent
from server.sdk.ports import CUSTOMER_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plugins.tryton.rest import Record, Tryton

    Work = Callable[[Tryton, Mapping[str, Any]], dict[str, Any]]

PARTY = "party.party"
_ANY = ["active", "in", [True, False]]
FIELDS = (
    *("name", "code", "active", "receivable", "credit_limit_amount", *STAMPS),
    *("contact_mechanisms.type", "contact_mechanisms.value"),
    *("identifiers.type", "identifiers.code"),
    *("addresses.street", "addresses.city", "addresses.country.code"),
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{4,}")


def shown(party: Record) -> dict[str, Any]:
    """Return a customer as the port has it."""
    address: Record = next(iter(party["addresses"]), {})
    identifier: Record = next(iter(party["identifiers"]), {})
    return {
        "customer_id": str(party["id"]),
        "external_id": party["code"],
        "name": party["name"] or "",
        "email": contact(party, "email"),
        "phone": contact(party, "phone"),
        "address": address.get("street") or None,
        "city": address.get("city") or None,
        "country": (address.get("country") or {}).get("code"),
        "tax_id": identifier.get("code"),
        "credit_limit": amount(party["credit_limit_amount"]),
        "balance": amount(party["receivable"]),
        "state": "active" if party["active"] else "archived",
        **stamps(party),
    }


def contact(party: Record, kind: str) -> str | None:
    """Return the first e-mail address (`email`) or telephone number (`phone`) of a party."""
    kinds = ("phone", "mobile") if kind == "phone" else (kind,)
    return next((each["value"] for each in party["contact_mechanisms"] if each["type"] in kinds), None)


def find(erp: Tryton, given: Mapping[str, Any]) -> Record | None:
    """Return the party that an input names by `customer_id` or `external_id`, archived ones too."""
    named = ["id", "=", finding.number(given.get("customer_id", ""))]
    return erp.first(PARTY, [named if "customer_id" in given else ["code", "=", given["external_id"]], _ANY], FIELDS)


def party_of(erp: Tryton, given: Mapping[str, Any], unknown: str = CUSTOMER_UNKNOWN) -> Record:
    """Return the party that an input names.

    Raises:
        Permanent: CUSTOMER_UNKNOWN, or another code.

    """
    party = find(erp, given)
    if party is None:
        raise finding.refused(unknown, "there is no party with this id", **dict(given))
    return party


def _get(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    return shown(party_of(erp, given))


def upsert(erp: Tryton, given: Mapping[str, Any]) -> tuple[Record, str]:
    """Create the party of an external id or change it; return it and what was done."""
    party = find(erp, {"external_id": given["external_id"]})
    if party is None:
        try:
            made = erp.create(PARTY, {"code": given["external_id"], **_new(erp, given)})
        except Permanent as error:
            # Codes are unique over there: of two calls at once the second finds what the first has made.
            party = find(erp, {"external_id": given["external_id"]}) if error.code == TRYTON_REFUSED else None
            if party is None:
                raise
        else:
            return party_of(erp, {"customer_id": str(made["id"])}), "created"
    changes = _changes(erp, party, given)
    if not changes:
        return party, "none"
    # With the name, so that the party's own moment of change moves whatever part of it is another.
    finding.revived(erp, PARTY, party)
    erp.write(PARTY, party["id"], {"name": given["name"], **changes})
    return party_of(erp, {"customer_id": str(party["id"])}), "updated"


def _new(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    address = {"street": given.get("address"), "city": given.get("city"), "country": _country(erp, given)}
    values: dict[str, Any] = {"name": given["name"], "addresses": [["create", [address]]]}
    contacts = [{"type": kind, "value": given[kind]} for kind in ("email", "phone") if given.get(kind)]
    if contacts:
        values["contact_mechanisms"] = [["create", contacts]]
    if given.get("tax_id"):
        values["identifiers"] = [["create", [{"code": given["tax_id"]}]]]
    if "credit_limit" in given:
        values["credit_limit_amount"] = exact(given["credit_limit"])
    return values


def _country(erp: Tryton, given: Mapping[str, Any]) -> int | None:
    if not given.get("country"):
        return None
    found = erp.first("country.country", [["code", "=", given["country"]]], ("id",))
    return None if found is None else int(found["id"])


def _changes(erp: Tryton, party: Record, given: Mapping[str, Any]) -> dict[str, Any]:
    before, values = shown(party), dict[str, Any]()
    differs = {name for name in given if name in before and given[name] != before[name]}
    if "credit_limit" in differs and exact(given["credit_limit"]) == exact(before["credit_limit"]):
        differs.discard("credit_limit")
    if "name" in differs:
        values["name"] = given["name"]
    if not party["active"]:
        values["active"] = True
    if "credit_limit" in differs:
        values["credit_limit_amount"] = exact(given["credit_limit"])
    if differs & {"address", "city", "country"}:
        values["addresses"] = [_address(erp, party, given, differs)]
    contacts = [
        each
        for kind in ("email", "phone")
        if kind in differs
        for each in _replaced(party["contact_mechanisms"], kind, given[kind])
    ]
    if contacts:
        values["contact_mechanisms"] = contacts
    if "tax_id" in differs:
        gone = [["delete", [each["id"] for each in party["identifiers"]]]] if party["identifiers"] else []
        values["identifiers"] = [*gone, *([["create", [{"code": given["tax_id"]}]]] if given["tax_id"] else [])]
    return values


def _address(erp: Tryton, party: Record, given: Mapping[str, Any], differs: set[str]) -> list[Any]:
    names = {"address": "street", "city": "city"}
    values = {names[name]: given[name] for name in differs & names.keys()}
    if "country" in differs:
        values["country"] = _country(erp, given)
    if party["addresses"]:
        return ["write", [party["addresses"][0]["id"]], values]
    return ["create", [values]]


def _replaced(contacts: list[Record], kind: str, value: str | None) -> list[Any]:
    kinds = ("phone", "mobile") if kind == "phone" else (kind,)
    there = next((each["id"] for each in contacts if each["type"] in kinds), None)
    if there is None:
        return [["create", [{"type": kind, "value": value}]]]
    return [["write", [there], {"value": value}]] if value else [["delete", [there]]]


def _upsert(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    party, change = upsert(erp, given)
    return {**shown(party), "change": change}


def _archive(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    party = party_of(erp, given)
    if not party["active"]:
        return {**shown(party), "change": "none"}
    erp.write(PARTY, party["id"], {"active": False})
    return {**shown(party_of(erp, {"customer_id": str(party["id"])})), "change": "updated"}


def _search(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {"email": "contact_mechanisms.value", "city": "addresses.city"}
    domain = [[field, "=", given[name]] for name, field in wanted.items() if name in given]
    rows, following = finding.named(erp, PARTY, domain, FIELDS, given)
    return {"customers": [shown(row) for row in rows], "next": following}


def _validate(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    errors = [{"field": field, "message": message} for field, message in _problems(erp, given)]
    return {"valid": not errors, "errors": errors}


def _problems(erp: Tryton, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what would be wrong with a party; two of one e-mail address are none of it over there."""
    for field in ("external_id", "name"):
        if not (given.get(field) or "").strip():
            yield field, "it is missing"
    if given.get("email") and not _EMAIL.fullmatch(given["email"]):
        yield "email", "it has not the form of name@example.com"
    if given.get("phone") and not _PHONE.fullmatch(given["phone"]):
        yield "phone", "it has not the form of +49 30 1234567"
    if given.get("country") and _country(erp, given) is None:
        yield "country", "Tryton knows no country of this code"


def _update_balance(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """The balance is what the books say at any moment, so there is nothing to bring in line."""
    if "amount" in given:
        raise not_supported("customers.update_balance", "a balance is corrected by a move in its books", field="amount")
    party = party_of(erp, {"customer_id": given["customer_id"]})
    return {"customer_id": given["customer_id"], "balance": amount(party["receivable"]), "change": "none"}


def _check_credit_limit(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    party = party_of(erp, {"customer_id": given["customer_id"]})
    limit, balance = exact(party["credit_limit_amount"]), exact(party["receivable"])
    after = balance + exact(given.get("amount"))
    left = max(limit - balance, Decimal(0))
    over = max(after - limit, Decimal(0)) if limit else Decimal(0)
    return {
        "customer_id": given["customer_id"],
        "allowed": not over,
        "credit_limit": amount(limit) if limit else None,
        "balance": amount(balance),
        "available": amount(left) if limit else None,
        "exceeded_by": amount(over),
    }


OPERATIONS: dict[str, Work] = {
    "customers.get": _get,
    "customers.upsert": _upsert,
    "customers.search": _search,
    "customers.validate": _validate,
    "customers.archive": _archive,
    "customers.update_balance": _update_balance,
    "customers.check_credit_limit": _check_credit_limit,
}
