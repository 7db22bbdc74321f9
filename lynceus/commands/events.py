"""What happened to events, and why; and running them again.

lynceus events tail                          what comes in, as it comes
lynceus events list --since 6h --reason render-error
lynceus events explain                       why the newest event did what it did; or: explain EVENT
lynceus events replay EVENT --force          run it again
lynceus events replay --since 2h             run what is missing of the last two hours
lynceus events save EVENT > push.json        keep it as a fixture for `lynceus test`, credentials masked
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from chalicelib.core import reasons
from chalicelib.core.bindings import NOT_MATCHED
from chalicelib.core.errors import LynceusError, NotFound, Unavailable
from lynceus import api, savings
from lynceus.api import Api, at_least
from lynceus.lints import selectors
from lynceus.output import DONE, NO, USAGE, Misused, Output

HELP = "list, show, explain, replay and save events"

BATCH = 50  # events of one call
FILTERS = ("client", "provider", "event_type", "action", "delivery_id", "reason")
MATCHES = 500  # of a binding that are looked at

# An event is listed at the time it came in and is stored a little later: so far back `tail` looks again.
LATE = timedelta(minutes=2)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `events`."""
    verbs = parser.add_subparsers(dest="what", metavar="VERB", required=True)
    for name, (help_text, _) in _VERBS.items():
        verb = verbs.add_parser(name, help=help_text, description=help_text)
        verb.add_argument("-o", "--output", choices=("human", "json", "yaml"), default=argparse.SUPPRESS)
        verb.add_argument(
            "--local", action="store_true", default=argparse.SUPPRESS, help="see lynceus --help"
        )
        api.arguments(verb)
        if name in ("list", "tail", "replay"):
            _add_filters(verb)
        if name in ("show", "explain", "save"):
            verb.add_argument(
                "event", nargs="?", default="", help="the event's id (default: the newest event)"
            )
        _MORE.get(name, lambda _: None)(verb)


def _add_filters(verb: argparse.ArgumentParser) -> None:
    for name in FILTERS:
        kind = _reason if name == "reason" else str
        verb.add_argument(
            f"--{name.replace('_', '-')}", default="", type=kind, help="only events with this one"
        )
    verb.add_argument("--since", default="", metavar="TIME", help="a time, or how long ago: 15m, 6h, 2d")


def _reason(text: str) -> str:
    """The code, if there is one of that name: a filter with another one would only be silent."""
    codes = [row.code for row in reasons.all_reasons()]
    if text and text not in codes:
        close = get_close_matches(text, codes, 1)
        said = f'did you mean "{close[0]}"?' if close else f"they stand in {api.WHY}"
        raise argparse.ArgumentTypeError(f"{text!r} is no code of a reason: {said}")
    return text


def _day(text: str) -> str:
    try:
        return text and date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: write 2026-11-21") from None


def _more_list(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--day", default="", type=_day, help="of that day alone (UTC, 2026-11-21)")
    verb.add_argument("--limit", type=at_least(1), default=50, help="at most so many (default: 50)")


def _more_tail(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--every", type=at_least(0, float), default=2.0, metavar="SECONDS", help="between looks (default: 2)"
    )
    verb.add_argument(
        "--looks", type=at_least(0), default=0, help="stop after so many looks (default: never)"
    )


def _more_show(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--body", action="store_true", help="the body too")


def _more_explain(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--now", action="store_true", help="by the bindings of now, not by those of then")
    verb.add_argument("--binding", default="", help="this binding alone")


def _more_save(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--to", type=Path, metavar="FILE", help="a file instead of standard output")


def _more_erase(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("event", help="the event's id")
    verb.add_argument("--yes", action="store_true", help="do not ask")


def _more_name(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("name", help="its name")


def _more_delivery(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("id", help="the sender's delivery id, or a caller's Idempotency-Key")
    verb.add_argument("--client", required=True, help="webhook client, or the caller's user name")
    verb.add_argument("--hook", default="", help="the provider's hook id, where it sends one (GitHub)")
    verb.add_argument("--discriminator", default="", help="of the webhook's path")


def _more_replay(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "events", nargs="*", metavar="EVENT", help="ids of events; without any, --since says which"
    )
    verb.add_argument("--until", default="", metavar="TIME", help="only events before (default: now)")
    verb.add_argument("--force", action="store_true", help="also what already ran")
    verb.add_argument("--dry-run", action="store_true", help="only say what would run")
    verb.add_argument(
        "--rate", type=at_least(0.01, float), default=10.0, help="events a second, at most (default: 10)"
    )
    verb.add_argument("--yes", action="store_true", help="do not ask")
    verb.add_argument("--resume", type=Path, metavar="FILE", help="go on with an interrupted replay")


def run(options: argparse.Namespace, out: Output) -> int:
    """One verb."""
    _, verb = _VERBS[options.what]
    return int(verb(Api.of(options), options, out))


# Lists


def _filters(options: argparse.Namespace) -> dict[str, str]:
    return {name: getattr(options, name) for name in FILTERS}


def _since(options: argparse.Namespace) -> datetime | None:
    return api.moment_of(options.since, datetime.now(UTC))


def _list(asked: Api, options: argparse.Namespace, out: Output) -> int:
    page = str(min(500, max(50, options.limit)))
    found = asked.events(_since(options), **_filters(options), day=options.day, limit=page)
    items = []
    for item in islice(found, options.limit):
        items.append(item)
        out.progress(f"{len(items)} events")
    out.end_progress()
    out.data({"items": items})
    out.table([_row(item) for item in items], ("id", "received", "client", "event", "delivery", "verdicts"))
    if not items:
        out.line("no events")
    return DONE


def _row(item: dict[str, Any]) -> dict[str, str]:
    kind = item.get("event_type", "")
    return {
        "id": item["id"],
        "received": item["receivedAt"][:19] + "Z",
        "client": item.get("client", ""),
        "event": f"{kind}.{item['action']}" if item.get("action") else kind,
        "delivery": item.get("delivery_id", ""),
        "verdicts": _counts(item) + (f"  ({item['note']})" if item.get("note") else ""),
    }


def _counts(item: dict[str, Any]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in (item.get("counts") or {}).items())


def _tail(asked: Api, options: argparse.Namespace, out: Output) -> int:
    seen: dict[str, str] = {}  # id → when it came, of what a further look can show again
    since = _since(options) or datetime.now(UTC)
    looks = 0
    while True:
        looks += 1
        try:
            found = list(asked.events(since, **_filters(options), limit="500"))
        except Unavailable as error:
            if looks == 1:
                raise
            out.error(error.message, "looking again")
            found = []
        for item in reversed(found):
            if item["id"] in seen:
                continue
            seen[item["id"]] = item["receivedAt"]
            row = _row(item)
            out.line("  ".join(row[name] for name in ("received", "id", "client", "event", "verdicts")))
            out.entry(item)
        if found:
            since = max(since, datetime.fromisoformat(found[0]["receivedAt"]) - LATE)
            seen = {event: at for event, at in seen.items() if datetime.fromisoformat(at) >= since}
        if looks == options.looks:
            return DONE
        time.sleep(options.every)


# One event


def _newest(asked: Api, event: str) -> str:
    if event:
        return event
    item = next(asked.events(None, limit="1"), None)
    if item is None:
        raise NotFound(f'namespace "{asked.namespace}" has no events: send one, lynceus send --help')
    return str(item["id"])


def _show(asked: Api, options: argparse.Namespace, out: Output) -> int:
    query = {"body": "true"} if options.body else {}
    told = asked.get("events", _newest(asked, options.event), **query)
    out.data(told)
    for name, value in told.items():
        if isinstance(value, str | int | bool) and name != "body":
            out.line(f"{name:<14} {value}")
    for name, values in (told.get("headers") or {}).items():
        out.line(f"  {name}: {', '.join(values)}", colour="dim")
    out.line(f"{'verdicts':<14} {_counts(told)}")
    for verdict in told.get("verdicts", ()):
        out.line(f"  {verdict['binding']}: {verdict['reason']} {verdict.get('workflow', '')}".rstrip())
        api.tell_message(verdict.get("message", ""), out, "    ")
    for submission in told.get("submissions", ()):
        _tell_submission(submission, out)
    for note in told.get("notes", ()):
        texts = {key: ", ".join(value) if isinstance(value, list) else value for key, value in note.items()}
        more = "; ".join(f"{key} {text}" for key, text in texts.items() if key not in ("at", "what"))
        out.line(f"{note['at'][:19]}Z  {note['what']}" + (f": {more}" if more else ""))
    if "body" in told:
        out.line()
        out.line(told["body"])
    return DONE


def _tell_submission(submission: dict[str, Any], out: Output, indent: str = "") -> None:
    good = submission["state"] in ("created", "existed")
    source = "" if indent else f"{submission['source']} → "
    out.line(
        f"{indent}{source}Workflow {submission['workflow']}: {submission['state']}",
        colour="green" if good else "yellow",
    )
    if not good:
        api.tell_reason(submission, out, indent + "  ")
        tries = max(submission.get("attempts", 0), submission.get("retries", 0))
        if submission.get("nextAttemptAt") and tries:
            out.line(f"{indent}  tried {tries} times, again at {submission['nextAttemptAt'][:19]}Z")


def _explain(asked: Api, options: argparse.Namespace, out: Output) -> int:
    query = {"as": "now" if options.now else "then"}
    if options.binding:
        query["binding"] = options.binding
    event = _newest(asked, options.event)
    told = asked.get("events", event, "explain", **query)
    head = asked.get("events", event)
    out.data({**told, "submissions": head.get("submissions", [])})
    _tell_event(head, told, out)
    submissions = {
        each["id"]: each
        for each in head.get("submissions", ())
        if not options.binding or each["source"] == options.binding
    }
    # What ran, and what went wrong, before what merely was not meant.
    for verdict in sorted(told["verdicts"], key=lambda verdict: verdict.get("outcome") == NOT_MATCHED):
        submission = submissions.pop(verdict.get("submission", ""), None)
        _tell_verdict({"event": event, **verdict}, submission, out)
    if submissions:
        out.line()
    for submission in submissions.values():
        _tell_submission(submission, out)
    return DONE


def _tell_event(head: dict[str, Any], told: dict[str, Any], out: Output) -> None:
    sender = f"{head.get('client') or head['account']} {head.get('eventType', '')}".rstrip()
    out.line(f"event {head['id']}  {head['receivedAt'][:19]}Z  {sender}")
    if head.get("note"):
        out.line(f"{head['note']}: {reasons.reason(head['note']).means}", colour="yellow")
    if head.get("waiting"):
        out.line(f"{reasons.DEFERRED}: {reasons.reason(reasons.DEFERRED).means}", colour="yellow")
    if told.get("note"):
        out.line(told["note"], colour="yellow")
    if told["as"] == "stored":
        out.line(f"verdicts {_counts(head) or 'none'}")
    elif not told["verdicts"]:
        out.line("the namespace has no WorkflowEventBinding")


_COLOURS = {"matched": "green", "not-matched": "blue", "error": "red", "undecidable": "yellow"}


def _tell_verdict(verdict: dict[str, Any], submission: dict[str, Any] | None, out: Output) -> None:
    outcome = verdict.get("outcome", "unknown")
    out.line()
    out.line(f"{verdict['binding']}: {outcome}", colour=_COLOURS.get(outcome, "yellow"))
    if verdict.get("note"):
        out.line(f"  {verdict['note']}", colour="yellow")
    if submission is not None:
        _tell_submission(submission, out, "  ")
    elif verdict.get("workflow"):
        out.line(f"  Workflow {verdict['workflow']}: not asked for; lynceus events replay would run it")
    for finding in verdict.get("because", ()):
        out.line(f"  because {finding['said']}")
    advice = [hint for finding in verdict.get("because", ()) if (hint := _advice(finding["source"]))]
    if advice:
        verdict = {**verdict, "do": "; ".join(advice)}
    if outcome == NOT_MATCHED and verdict.get("because"):
        verdict = {**verdict, "means": ""}  # said already
    if outcome != "matched":
        api.tell_reason(verdict, out)


def _advice(source: str) -> str:
    """What lint would say of the comparison that decided: it may be one that can never be true."""
    found = [remark for remark in selectors.remarks(source) if remark.line and remark.hint]
    return found[0].hint if found and not found[0].message.startswith("does not compile") else ""


def _binding(asked: Api, options: argparse.Namespace, out: Output) -> int:
    told = asked.get("bindings", options.name, limit=str(MATCHES))
    out.data(told)
    hour, day = (f"{n} or more" if n == MATCHES else str(n) for n in map(told["rates"].get, ("hour", "day")))
    out.line(f"binding {options.name}: {hour} matches in the last hour, {day} in a day")
    if told["exists"] is False:
        out.line(
            f'there is no WorkflowEventBinding "{options.name}" in {asked.namespace} now', colour="yellow"
        )
    error = told["lastError"]
    if error:
        out.line(
            f"last error {error['at'][:19]}Z, {error['count']} so far, event {error['event']}", colour="red"
        )
        api.tell_message(error.get("message", ""), out)
    for run in told["runs"][:10]:
        _tell_submission(run, out)
    if not told["runs"]:
        out.line("no match is kept")
    return DONE


def _workflow(asked: Api, options: argparse.Namespace, out: Output) -> int:
    told = asked.get("workflows", options.name)
    out.data(told)
    for submission in told["items"]:
        what = "event" if submission["kind"] == "event" else "CronWorkflow"
        out.line(f"{what} {submission['cause']}")
        _tell_submission(submission, out)
    return DONE


def _delivery(asked: Api, options: argparse.Namespace, out: Output) -> int:
    query = {"client": options.client, "hook": options.hook, "discriminator": options.discriminator}
    try:
        told = asked.get("deliveries", options.id, **{name: value for name, value in query.items() if value})
    except api.Refused as error:
        if error.status == 404:
            error.hint = (
                "a delivery is known by its client, the path's --discriminator and, of GitHub, its --hook; without "
                f"them: lynceus events list --delivery-id {options.id}"
            )
        raise
    out.data(told)
    for record in told["items"]:
        out.line(f"{record['id']}  {record['receivedAt'][:19]}Z  {_counts(record)}")
    return DONE


def _refused(asked: Api, _options: argparse.Namespace, out: Output) -> int:
    items = asked.get("refused", limit="500")["items"]
    out.data({"items": items})
    rows = [
        {
            **item,
            **item["sample"],
            "minute": item["minute"][:16] + "Z",
            "user_agent": item["sample"].get("userAgent"),
        }
        for item in items
    ]
    out.table(rows, ("minute", "count", "reason", "status", "client", "discriminator", "user_agent"))
    out.line(f"see: {api.WHY}#refused-requests" if rows else "nothing was refused in the last day")
    return DONE


def _erase(asked: Api, options: argparse.Namespace, out: Output) -> int:
    head = asked.get("events", options.event)
    out.line(f"event {options.event} of {head['receivedAt'][:19]}Z, {head['size']} bytes")
    if not out.confirm(
        "erase its body for good? It can then be neither explained nor replayed.", yes=options.yes
    ):
        return NO
    asked.delete("events", options.event, "body")
    out.line("erased; the record stays, and notes who asked")
    out.data({"erased": options.event})
    return DONE


def _save(asked: Api, options: argparse.Namespace, out: Output) -> int:
    fixture = savings.fixture_of(asked.get("events", _newest(asked, options.event), body="true"))
    text = json.dumps(fixture, indent=2, ensure_ascii=False) + "\n"
    if options.to:
        options.to.write_text(text, encoding="utf-8", errors="backslashreplace")
        out.line(f"saved {options.to}, credentials masked: look before you publish it")
        out.data({"saved": str(options.to)})
    elif out.human:
        out.line(text.rstrip())
    else:
        out.data(fixture)
    return DONE


# Replays


def _replay(asked: Api, options: argparse.Namespace, out: Output) -> int:
    if options.resume:
        plan = _read_plan(options.resume, asked.namespace)
        return _carry_out(asked, plan, options.rate, out, options.resume)
    if not options.events and not options.since:
        out.error("which events?", "name their ids, or say --since (and --until, --client, …)")
        return USAGE
    ids = list(dict.fromkeys(options.events)) or _chosen(asked, options, out)
    count = _count(asked, ids, options, out)
    if options.dry_run or not count["runs"]:
        out.data(count)
        return DONE if not count["errors"] else NO
    question = f"start {count['runs']} Workflows from {len(ids)} events in namespace {asked.namespace}?"
    if not out.confirm(question, yes=options.yes):
        return NO
    plan = {"namespace": asked.namespace, "replay": count["replay"], "force": options.force, "left": ids}
    return _carry_out(asked, plan, options.rate, out, Path(f"lynceus-replay-{count['replay']}.json"))


def _chosen(asked: Api, options: argparse.Namespace, out: Output) -> list[str]:
    """The ids of the events that fit, oldest first: the set is frozen before anything runs."""
    now = datetime.now(UTC)
    until = api.moment_of(options.until, now) or now
    ids = []
    for item in asked.events(_since(options), **_filters(options), limit="500"):
        if datetime.fromisoformat(item["receivedAt"]) < until and item.get("note") != "dry-run":
            ids.append(item["id"])
            out.progress(f"{len(ids)} events")
    out.end_progress()
    return ids[::-1]


def _batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[at : at + BATCH] for at in range(0, len(ids), BATCH))


def _count(asked: Api, ids: Sequence[str], options: argparse.Namespace, out: Output) -> dict[str, Any]:
    """What a replay of the events would run, by a dry run."""
    told: dict[str, Any] = {"events": len(ids), "runs": 0, "replay": "", "items": [], "errors": 0}
    for batch in _batches(ids):
        left = list(batch)
        while left:
            wish = {"events": left, "dryRun": True, "force": options.force}
            answer = asked.post(
                "replays", wish=wish if not told["replay"] else {**wish, "replay": told["replay"]}
            )
            told["replay"] = answer["replay"]
            told["runs"] += answer["runs"]
            told["items"] += answer["items"]
            left = answer["left"]
            out.progress(f"counting: {len(told['items'])} of {len(ids)} events")
    out.end_progress()
    told["errors"] = sum("error" in item for item in told["items"])
    for item in told["items"]:
        _tell_item(item, out, "would run")
    out.line(f"{len(ids)} events, {told['runs']} Workflows to run, {told['errors']} cannot be replayed")
    return told


def _tell_item(item: dict[str, Any], out: Output, verb: str) -> None:
    for one in item.get("runs", ()):
        out.line(f"  {item['event']}  {one['binding']} {verb} {one['workflow']} as {one['account']}")
    if item.get("undecidable"):
        out.line(
            f"  {item['event']}  {', '.join(item['undecidable'])}: a header was not kept", colour="yellow"
        )
    if item.get("note"):
        out.line(f"  {item['event']}  {item['note']}", colour="yellow")
    if item.get("error"):
        out.line(f"  {item['event']}  {item['error']}", colour="red")


def _carry_out(asked: Api, plan: dict[str, Any], rate: float, out: Output, path: Path) -> int:
    """Run the frozen set call by call; what is left stands in the file until nothing is."""
    total = len(plan["left"])
    size = min(BATCH, max(1, round(rate)))
    told: dict[str, Any] = {"replay": plan["replay"], "events": 0, "runs": 0, "errors": 0, "items": []}
    try:
        while plan["left"]:
            if total > size:
                path.write_text(json.dumps(plan))
            started = time.monotonic()
            handled = _replay_some(asked, plan, size, told, out)
            out.progress(f"{told['events']} of {total} events, {told['runs']} Workflows")
            if plan["left"]:
                time.sleep(max(0.0, handled / rate - (time.monotonic() - started)))
    except (KeyboardInterrupt, LynceusError):
        if path.exists():
            out.error(
                f"{len(plan['left'])} of {total} events are left",
                f"go on with: lynceus events replay -n {asked.namespace} --resume {path}",
            )
        raise
    out.end_progress()
    path.unlink(missing_ok=True)
    out.line(
        f"replay {told['replay']}: {told['events']} events, {told['runs']} Workflows sent to the workers, "
        f"{told['errors']} events failed"
    )
    out.data(told)
    return DONE if not told["errors"] else NO


def _replay_some(asked: Api, plan: dict[str, Any], size: int, told: dict[str, Any], out: Output) -> int:
    """Run the next events of the plan, and return how many the call had time for."""
    batch = plan["left"][:size]
    wish = {"events": batch, "force": plan["force"], "replay": plan["replay"]}
    answer = asked.post("replays", wish=wish)
    handled = len(batch) - len(answer["left"])
    plan["left"] = plan["left"][handled:]
    told["events"] += handled
    told["runs"] += answer["runs"]
    told["errors"] += sum("error" in item for item in answer["items"])
    told["items"] += answer["items"]
    for item in answer["items"]:
        _tell_item(item, out, "runs")
    return handled


def _read_plan(path: Path, namespace: str) -> dict[str, Any]:
    try:
        plan = json.loads(path.read_text())
    except ValueError as error:
        raise Misused(f"{path} is no interrupted replay: {error}") from error
    if not isinstance(plan, dict) or set(plan) != {"namespace", "replay", "force", "left"}:
        raise Misused(f"{path} is no interrupted replay")
    if plan["namespace"] != namespace:
        raise Misused(f"{path} is of namespace {plan['namespace']}: say -n {plan['namespace']}")
    return plan


_VERBS = {
    "tail": ("print events as they come", _tail),
    "list": ("list events, newest first", _list),
    "show": ("one event: verdicts, submissions, notes", _show),
    "explain": ("why each binding did what it did", _explain),
    "replay": ("run events again: what is missing, or with --force everything", _replay),
    "save": ("save an event as a fixture, credentials masked", _save),
    "erase": ("erase an event's body for good", _erase),
    "binding": ("a binding's last matches, its last error, its rate", _binding),
    "workflow": ("what made a Workflow, or tried to", _workflow),
    "delivery": ("the events that a sender's delivery id came to", _delivery),
    "refused": ("requests that were refused in the last day, and handshakes", _refused),
}
_MORE = {
    "list": _more_list,
    "tail": _more_tail,
    "show": _more_show,
    "explain": _more_explain,
    "save": _more_save,
    "replay": _more_replay,
    "erase": _more_erase,
    "binding": _more_name,
    "workflow": _more_name,
    "delivery": _more_delivery,
}
