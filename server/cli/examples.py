"""One example for each command: `--help` ends with it, and docs/cli.md shows it. A test holds that all of them are understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = ("up", "check", "apply", "send", "dead-letters list", "flow start")
"""Those that the help of `crossdock` itself shows, in the order in which a person meets them."""
_OF_GROUPS = {
    "flow ": ("flow start", "flow runs", "flow show", "flow retry", "flow approve"),
    "sync ": ("sync run", "sync preview", "sync runs", "sync why"),
    "webhook ": ("webhook list", "webhook pause", "webhook trigger", "webhook new-key"),
    "integration ": ("integration test", "integration call", "integration pause", "integration resume"),
}
_MOST = 4
_OF_STATES = {
    "list": "--state paused",
    "show": "{name}",
    "history": "{name}",
    "restore": "{name}",
    "pause": "{name} --reason 'the ERP is being upgraded'",
    "resume": "{name}",
    "activate": "{name}",
    "disable": "{name} --reason 'replaced'",
}
_NAMES = {"webhook": "orders-to-warehouse", "integration": "erp", "sync": "customers-to-erp", "flow": "deal-won"}
_DELIVERY, _DEAD, _REPLAY = (
    "dlv_01m8248xsceanatftmve9jz3ak",
    "dead_01m82taz7ce1ea5ame5e2v9gdt",
    "rpl_01m8248xsceanatftmve9jz3ak",
)
_EVENT, _REQUEST, _RUN = (
    "evt_01m8248xs0ezzakgxx5tv2jpjx",
    "req_01m82rxy4ffg0vpebtx106z9mj",
    "run_01m833y4jyfqna7440ryhhq9n7",
)
EXAMPLES: dict[str, str] = {
    **{f"{noun} {verb}": rest.format(name=name) for noun, name in _NAMES.items() for verb, rest in _OF_STATES.items()},
    "up": "--port 9000 --workers 4",
    "api": "--host 0.0.0.0 --port 8080 --processes 2",
    "worker": "",
    "scheduler": "",
    "check": "definitions",
    "test": "definitions/flows",
    "plan": "definitions --prune --out changes.plan",
    "apply": "definitions",
    "rollback": "webhook/orders-to-warehouse 3",
    "export": "--out exported",
    "definition list": "",
    "definition show": "flow/deal-won",
    "definition versions": "webhook/orders-to-warehouse",
    "schema": "> definitions/definition.v1.json",
    "new webhook": "orders-to-warehouse --event sales.order.booked --url https://warehouse.example.com/hook",
    "new integration": "crm --base-url https://crm.example.com/api --secret CRM_TOKEN",
    "new event-type": "sales.order.booked",
    "new sync": "customers-to-erp --from old-db:customers --to erp.customers.upsert",
    "new flow": "big-orders --event sales.order.booked",
    "send": 'sales.order.booked --subject SO-1 --data \'{"number": "SO-1", "total": "150"}\'',
    "events list": "--type 'order.*' --follow",
    "events show": _EVENT,
    "events tree": _EVENT,
    "events history": "SO-1",
    "deliveries list": "--webhook orders-to-warehouse --state pending",
    "deliveries show": _DELIVERY,
    "deliveries attempts": _DELIVERY,
    "deliveries retry": _DELIVERY,
    "inbound list": "--webhook shop-orders --state dead",
    "inbound show": _REQUEST,
    "inbound retry": _REQUEST,
    "dead-letters list": "--owner webhook/orders-to-warehouse",
    "dead-letters show": _DEAD,
    "dead-letters retry": _DEAD,
    "dead-letters retry-all": "flow/deal-won",
    "dead-letters discard": f"{_DEAD} --yes",
    "replay start": "--webhook orders-to-warehouse --since 2026-01-31T00:00:00Z --dry-run",
    "replay list": "--state running",
    "replay show": f"{_REPLAY} --wait 10m",
    "replay pause": _REPLAY,
    "replay resume": _REPLAY,
    "replay cancel": _REPLAY,
    "webhook trigger": 'orders-to-warehouse --data \'{"number": "SO-1", "total": "150", "lines": []}\'',
    "webhook public-keys": "orders-to-warehouse",
    "webhook new-key": "| crossdock secret set ORDERS_HOOK",
    "integration test": "erp",
    "integration call": "erp customers.search --input '{\"limit\": 5}'",
    "sync run": "customers-to-erp --wait 1m",
    "sync runs": "customers-to-erp",
    "sync status": f"{_RUN} --wait 10m",
    "sync cancel": _RUN,
    "sync preview": "customers-to-erp --rows 5",
    "sync parked": "orders-to-erp",
    "sync conflicts": "customers-to-crm",
    "sync conflict": "cfl_01m82taywzeexs2v2ej9w3wwv5",
    "sync resolve": "cfl_01m82taywzeexs2v2ej9w3wwv5 --field email=source --field 'credit_limit=value:\"100.00\"'",
    "sync revert": f"{_RUN} --dry-run",
    "sync reconcile": "customers-to-erp --repair --wait 10m",
    "sync changes": f"{_RUN} --state open",
    "sync differences": f"{_RUN} --kind missing",
    "sync why": "customers-to-erp 42",
    "sync schedule": "customers-to-erp --count 5",
    "flow start": "win-a-deal --wait 1m",
    "flow runs": "deal-won --state failed",
    "flow show": _RUN,
    "flow graph": f"{_RUN} > run.mmd",
    "flow cancel": _RUN,
    "flow retry": f"{_RUN} --from invoice",
    "flow undo": _RUN,
    "flow approve": f"{_RUN} allowed --comment 'as agreed'",
    "flow reject": f"{_RUN} allowed --comment 'too much'",
    "event-type list": "",
    "event-type asyncapi": "> asyncapi.json",
    "event-type show": "order.created@1",
    "secret list": "",
    "secret set": "ORDERS_HOOK < key.txt",
    "secret rotate": "ORDERS_HOOK --overlap 24h < key.txt",
    "secret delete": "ORDERS_HOOK --yes",
    "secret rewrap": "",
    "token list": "",
    "token create": "--role operator --name anna --expires 90d",
    "token revoke": "tok_01m8248xsceanatftmve9jz3ak",
    "member list": "",
    "member set": "anna@example.com --role operator",
    "member remove": "anna@example.com",
    "workspace list": "",
    "workspace create": "staging",
    "workspace networks": "10.1.0.0/16",
    "organization create": "acme",
    "audit": "--action token.created",
    "plugin list": "",
    "plugin show": "erp_sandbox",
    "plugin check": "plugins/http",
    "plugin new": "acme_shop --title 'Acme Shop'",
    "db upgrade": "",
    "doctor": "",
    "bench": "--workspace default/bench --rate 200 --seconds 20 --svg latency.svg",
    "version": "",
}


def example_of(path: str) -> str:
    """Return the example of a command; `path` is how it is called, without `crossdock`."""
    return f"crossdock {path} {EXAMPLES[path]}".rstrip()


def show_examples(group: click.Group, path: str = "") -> None:
    """End the help of every command below a group, and its own, with examples."""
    below = [f"{path}{name}" for name, command in group.commands.items() if not isinstance(command, click.Group)]
    group.epilog = _epilog(example_of(each) for each in (_OF_GROUPS.get(path, below[:_MOST]) if path else ROOT))
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            show_examples(command, f"{path}{name} ")
        else:
            command.epilog = _epilog([example_of(f"{path}{name}")])


def _epilog(lines: Iterator[str] | list[str]) -> str:
    """Write lines that click is not to wrap."""
    return "\n".join(["\b", "For example:", *(f"  {line}" for line in lines)])
