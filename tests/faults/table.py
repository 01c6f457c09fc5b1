"""The faults F1 to F21: what is done, when it passes, and what that proves. docs/reliability.md is made from this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One row. `done`, `passes` and `proves` are sentences for a reader who wants to trust the product."""

    number: str
    title: str
    done: str
    passes: str
    proves: str


FAULTS = (
    Fault(
        "F1",
        "Workers killed",
        "Ten times during a burst of 10,000 events a delivery worker gets kill -9, in turn, and is started again.",
        "Nothing lost, nothing unexpected; only what was claimed at a kill comes twice; each orphaned lease is taken over "
        "within 10 s.",
        "Promise 2. A claim is a lease of 6 s in the database, kept alive by a heartbeat; it ends with its worker.",
    ),
    Fault(
        "F2",
        "API processes killed",
        "Ten times during ingest an API process gets kill -9, its main process and its serving process in turn. The client "
        "sends an event again until it is answered, but each twentieth only once.",
        "Every event answered 2xx is delivered, each is stored once, and no event comes twice. What was not answered may come: "
        "it counts as recovered.",
        "Promise 1. The event and what it owes are one transaction, and the answer comes after its commit.",
    ),
    Fault(
        "F3",
        "Redis emptied",
        "FLUSHALL three times during a burst.",
        "Nothing lost, no duplicate, no silence above 5 s.",
        "Redis holds hints and rate tokens only. PostgreSQL is the truth.",
    ),
    Fault(
        "F4",
        "Redis stopped, and back without its data",
        "Redis is killed, its files are removed, and it is started again 60 s later.",
        "Every request is answered 2xx all the time (p99 within 1 s), no silence above 5 s, no duplicate, and every worker takes "
        "hints again within 10 s of its return.",
        "Promise 9: while Redis is down everything goes on, slower. The workers' timer finds the work.",
    ),
    Fault(
        "F5",
        "Redis hung",
        "Redis is stopped with SIGSTOP for 60 s: it accepts connections and answers nothing.",
        "As F4.",
        "Nobody waits for Redis: time-outs are half a second, and after one nobody asks for five.",
    ),
    Fault(
        "F6",
        "PostgreSQL crashed, its connections cut",
        "PostgreSQL is stopped at once (SIGQUIT) three times for a second, and in a second case all connections are ended with "
        "pg_terminate_backend ten times.",
        "Nothing that was answered is lost; what cannot be stored is answered 503 with Retry-After, never 500; duplicates stay "
        "within what was in flight; deliveries flow within 10 s; no process ends.",
        "Nothing is acknowledged from memory, and every process outlives its database.",
    ),
    Fault(
        "F7",
        "The whole of `crossdock up` killed",
        "Five times during a burst every process of `crossdock up` (supervisor, API, workers, scheduler, PostgreSQL, Redis) gets "
        "kill -9 at once, and the same command is given again.",
        "It starts again by itself, nothing lost, duplicates within what was in flight.",
        "The embedded default is as durable as a database of one's own: an answered commit is on the disk.",
    ),
    Fault(
        "F8",
        "Receivers that misbehave",
        "A delivery each to receivers that accept and hang, close half-open, reset after the headers or in mid body, drip headers or "
        "body, send 300 MB as gzip, 100,000 headers, a flood of 102, a wrong Content-Length, an endless body, or break TLS.",
        "Each attempt ends within its time-out and a second; none counts as a success; the worker grows by 20 MB at most; of an "
        "answer no more than 64 KiB are kept.",
        "Promise 6. What a receiver does costs itself a try and nobody else anything.",
    ),
    Fault(
        "F9",
        "One receiver of ten hangs",
        "Ten webhooks under load, one of which never answers. Then an integration fails five times, and 20 workers race for its "
        "half-open breaker.",
        "The healthy nine keep 80 % of their rate and twice their p95; the breaker opens after five failures in a row; exactly "
        "one probe goes out.",
        "Promise 6. Limits in flight are per webhook, and the breaker is one row for all processes.",
    ),
    Fault(
        "F10",
        "No fault: 10,000 events",
        "10,000 single events, two workers.",
        "10,000 arrive, none twice, within 30 s; ingest p99 within 250 ms; no process above 300 MB.",
        "The base line of the other rows.",
    ),
    Fault(
        "F11",
        "Disk full",
        "The filesystem of PostgreSQL is filled for 60 s under load, then there is room again.",
        "Only 503 or 507 is answered meanwhile; what was acknowledged is exactly what is stored; within 5 s everything goes on, "
        "without a restart.",
        "An answer of 2xx is never given on credit.",
    ),
    Fault(
        "F12",
        "Clocks wrong by an hour",
        "One worker's clock is an hour ahead, another's an hour behind, and the first one's steps back by an hour under load. Every "
        "event is refused once, so that retries are planned by the wrong clocks.",
        "Nothing lost, no claim before its time, no duplicate, no retry before its time or an hour late.",
        "Leases and due times are the database's: no process believes its own clock.",
    ),
    Fault(
        "F13",
        "Three schedulers",
        "Three schedulers, one with its clock an hour ahead and stepping back, one killed again and again; 200 slots of periodic chores.",
        "200 runs for 200 slots: no chore runs twice within its period, and none is late by more than a tick after a kill.",
        "A slot is taken in the database by one process. Today's slots are the scheduler's chores; slots of cron (with their gaps "
        "and overlaps when clocks change) come with sync jobs.",
    ),
    Fault(
        "F14",
        "The same request again",
        "50 requests with one Idempotency-Key at once over two API processes; the same again; another body; after 24 hours; and with "
        "the process killed while it works on the first.",
        "One execution; every other answer is the first one's, byte for byte with `Idempotent-Replayed: true`, or 409; another body "
        "422; after 24 h a new execution; after the kill the key is free within 60 s and the event exists once.",
        "Promise 4. A client may repeat what it is not sure of.",
    ),
    Fault(
        "F15",
        "Poison",
        "One delivery kills the worker that sends it, each time. Beside it a burst of 1,000, and payloads made to break parsers.",
        "After ten claims without an outcome it is a dead letter with the reason `poison`; everything else is delivered; no payload "
        "is answered 5xx.",
        "Claims are counted apart from attempts, before anything is sent.",
    ),
    Fault(
        "F16",
        "Rolling restarts",
        "Workers get SIGTERM in turn, five times under load, at receivers that take 0.2 s.",
        "Nothing lost, no duplicate, each ends within 20 s.",
        "A worker that is asked to end records what it has in flight first.",
    ),
    Fault(
        "F17",
        "Redrive and replay",
        "1,000 dead letters are retried with one request, and 1,000 events are replayed from the event store with a rate cap; each "
        "request is sent a second time with the same key.",
        "Exactly 1,000 deliveries each, with the `webhook-id` of the first time; the second request makes no row; the rate is kept.",
        "Promises 1 and 4: what died can be brought back, once.",
    ),
    Fault(
        "F18",
        "Long run",
        "Minutes of load (`FAULTS_LONG_MINUTES`) with F1, F3 and F6 at random.",
        "Nothing lost; what was not killed grows by 5 MB at most in the second half; no lease is older than two leases.",
        "Nothing leaks, and nothing gets stuck.",
    ),
    Fault(
        "F19",
        "Senders, and processes killed",
        "Signed requests come to an inbound webhook, each sent again under its one id until it is answered; ten times an API process "
        "or a worker gets kill -9, in turn, and is started again.",
        "Every request answered 2xx is stored once, emitted once and delivered; only deliveries that a killed worker had under way "
        "come twice.",
        "Promise 1 for what comes in: a request and its dedupe key are one transaction, and the answer comes after its commit; its "
        "events and the end of its due row are another.",
    ),
    Fault(
        "F20",
        "Sync runs killed",
        "Twelve sync jobs at a time, which upsert into a database, append to one, and post to an API that honours idempotency keys; all "
        "workers get kill -9 at a random moment and are started again, until 200 runs under way have been killed.",
        "After each, every target equals its source, each row once; counts and cursors are right; others have the runs within 10 s.",
        "A page is written under keys of its own, then recorded in one transaction with counters, cursor and ledger: what comes again has "
        "the effect of once.",
    ),
    Fault(
        "F21",
        "Flows killed",
        "A thousand deals are won, each a run of `deal-won` on the embedded ERP; some have no credit and are undone. Twelve "
        "times all workers get kill -9 at once and are started again.",
        "In the ERP each completed run has one order, one invoice and its production orders, each compensated one nothing that "
        "stands; others have the runs within 10 s.",
        "A step is stored as begun before its call, and its result with the beginning of the next: what is called again has the "
        "key, and so the effect, of the first time.",
    ),
)
