"""What a definition refers to, so that nothing is removed under the feet of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.flows.written import written_steps
from server.integrations.fallback import split_call
from server.syncs.reference_fields import job_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

Reference = tuple[str, str]
"""The kind and the plain name of what is meant; of an EventType the type, whatever the version."""
Key = tuple[str, str]
"""The kind and the name under which a definition is kept: of an EventType `type@version`."""


def references_of(kind: str, body: Mapping[str, Any]) -> set[Reference]:
    """Return all that a checked body refers to by name; a pattern with a wildcard names nobody."""
    found = _BY_KIND.get(kind)
    return set(found(body)) if found else set()


def still_referred(
    removed: Collection[Key], remaining: Mapping[Key, Mapping[str, Any]]
) -> Iterator[tuple[Reference, Key]]:
    """Yield (what would be missing, who refers to it). An EventType is missing once no version of it remains."""
    left = {plain(key) for key in remaining}
    missing = {plain(key) for key in removed} - left
    for key, body in sorted(remaining.items(), key=lambda item: item[0]):
        for reference in sorted(references_of(key[0], body) & missing):
            yield reference, key


def plain(key: Key) -> Reference:
    """Return what others call it: without the version."""
    return key[0], key[1].partition("@")[0]


def _of_webhook(body: Mapping[str, Any]) -> Iterator[Reference]:
    if isinstance(body.get("integration"), str):
        yield "Integration", body["integration"]
    yield from _of_fallback(body)
    yield from _types(body.get("events", ()))
    emit = body.get("emit")
    if isinstance(emit, dict):
        yield from _types([emit.get("type")])


def _of_sync_job(body: Mapping[str, Any]) -> Iterator[Reference]:
    for end in ("source", "target"):
        yield from _of_fallback({"fallback": body.get(end)})
    filled = (body.get("target") or {}).get("webhook")
    if isinstance(filled, str):
        yield "Webhook", filled
    back = body.get("two_way")
    if isinstance(back, dict):
        yield from _of_sync_job({"source": back.get("source"), "target": back.get("target")})
    yield from _types(body.get("events", ()))
    yield from (("SyncJob", name) for name in job_names(body.get("map")) if name != body.get("name"))


def _of_flow(body: Mapping[str, Any]) -> Iterator[Reference]:
    yield from _types(body.get("events", ()))
    for step in written_steps(body.get("steps")):
        for called in (step, step.get("undo"), step.get("on_error")):
            yield from _of_fallback({"fallback": called})
        yield from _types([(step.get("emit") or {}).get("type"), (step.get("wait_for") or {}).get("event")])
        if "flow" in step:
            yield "Flow", step["flow"]


def _of_fallback(body: Mapping[str, Any]) -> Iterator[Reference]:
    fallback = body.get("fallback")
    call = split_call(fallback.get("call", "")) if isinstance(fallback, dict) else None
    if call is not None:
        yield "Integration", call[0]


def _types(patterns: Iterable[Any]) -> Iterator[Reference]:
    return (("EventType", each) for each in patterns if isinstance(each, str) and "*" not in each)


_BY_KIND: dict[str, Callable[[Mapping[str, Any]], Iterator[Reference]]] = {
    "Integration": _of_fallback,
    "Webhook": _of_webhook,
    "SyncJob": _of_sync_job,
    "Flow": _of_flow,
}
