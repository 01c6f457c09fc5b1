"""All schemes: each module of this package that has a `SCHEME`, found at the first use, so that a new one is one file.

`VERIFY` is the type of an inbound webhook's `verify`; `verifier_of` makes what verifies its requests.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from server.access.references import fill_config
from server.documents.fields import FieldType
from server.documents.values import secrets_in
from server.documents.variants import variants
from server.webhooks.verifiers.fields import COMMON
from server.webhooks.verifiers.handshakes import ASKING, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server.documents.checking import Checker
    from server.documents.fields import Field
    from server.documents.nodes import Node
    from server.documents.variants import Variants
    from server.webhooks.verifiers.scheme import Fetch, Scheme, Verify

_PACKAGE = "server.webhooks.verifiers"
_ORDER = {"standard-webhooks": 0, "hmac": 1, "none": 9}
_BETWEEN = 5


@functools.cache
def schemes() -> Mapping[str, Scheme]:
    """Return every scheme by its name: those that suit any sender first, `none` last."""
    package = importlib.import_module(_PACKAGE)
    modules = [importlib.import_module(f"{_PACKAGE}.{each.name}") for each in pkgutil.iter_modules(package.__path__)]
    found: list[Scheme] = [module.SCHEME for module in modules if hasattr(module, "SCHEME")]
    found.sort(key=lambda each: (_ORDER.get(each.name, _BETWEEN), each.name))
    return MappingProxyType({each.name: each for each in found})


def key_names(declared: Mapping[str, Any]) -> list[str]:
    """Return the names of the secrets under `key` of a checked `verify`, the newest first."""
    key = declared.get("key")
    written = key if isinstance(key, list) else [key] if key is not None else []
    return [each["secret"] for each in written]


def secret_names(declared: Mapping[str, Any]) -> set[str]:
    """Return the names of all secrets that a checked `verify` refers to."""
    return secrets_in(declared)


def methods_of(declared: Mapping[str, Any]) -> frozenset[str]:
    """Return the methods that handshakes come with, beside the endpoint's own."""
    return schemes()[declared["scheme"]].methods | {ASKING}


def blocks(declared: Mapping[str, Any]) -> bool:
    """Say whether verifying may fetch or takes milliseconds, so that it has no place on an event loop."""
    return schemes()[declared["scheme"]].blocks


def verifier_of(
    declared: Mapping[str, Any], values: Mapping[str, Sequence[str]], fetch: Fetch, rate: int | None = None
) -> Verify:
    """Return what verifies by a checked `verify`.

    `values` has for each of its secrets the texts that are valid now, the newest first; `rate` is how many requests a minute
    the endpoint takes, for senders that ask.

    Raises:
        Invalid: KEY_INVALID: the scheme cannot use a secret.

    """
    keys = [value for name in key_names(declared) for value in values[name]]
    rest = fill_config({name: each for name, each in declared.items() if name != "key"}, values)
    made = schemes()[declared["scheme"]].make(rest, keys, fetch)
    return Endpoint(made, declared.get("origins", ()), rate)


@dataclass(frozen=True)
class VerifyField(FieldType):
    """The `verify` of an inbound webhook, by its `scheme`."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check it by the scheme that it names."""
        _forms().check(node, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema: any of the schemes."""
        return _forms().schema()

    def label(self) -> str:
        """Return `object`."""
        return _forms().label()

    def accepts(self, node: Node) -> bool:
        """Say whether it is a mapping."""
        return _forms().accepts(node)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield the fields of all schemes, each path once, with what it means in each of them."""
        meant: dict[str, list[Field]] = {}
        for path, each in _forms().below():
            meant.setdefault(path, []).append(each)
        for _, form in _forms().forms:
            for path, each in form.below():
                if path != ".scheme" and each.about not in {known.about for known in meant[path]}:
                    meant[path].append(each)
        for path, several in meant.items():
            yield path, replace(several[0], about=" ".join(each.about for each in several))


VERIFY = VerifyField()


@functools.cache
def _forms() -> Variants:
    every = schemes().values()
    about = "How senders prove who they are: " + "; ".join(f"`{each.name}`, {each.about}" for each in every) + "."
    groups = {each.name.replace("-", "_"): {"one_of": each.one_of, "rules": each.rules} for each in every}
    return variants("scheme", about, {each.name: (*each.fields, *COMMON) for each in every}, "verify", **groups)
