"""What failed, and driving it again.

  lynceus dlq list                    submissions that failed, and messages nobody could read
  lynceus dlq redrive WORKFLOW …      try these again, exactly as they were frozen
  lynceus dlq redrive --all           all that failed
  lynceus dlq redrive --letters       messages on the dead letter queue

A redriven submission runs as it was; to run it by a repaired binding, replay its event (lynceus events replay).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from lynceus import api
from lynceus.api import Api
from lynceus.output import DONE, NO, USAGE, Output

HELP = "list and redrive what failed"
BATCH = 50
HIDDEN = 75.0  # seconds until dead letters that were looked at show again, and some


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `dlq`."""
    verbs = parser.add_subparsers(dest="what", metavar="VERB", required=True)
    for name, help_text in (("list", "what failed, and why"), ("redrive", "try it again")):
        verb = verbs.add_parser(name, help=help_text, description=help_text)
        verb.add_argument("-o", "--output", choices=("human", "json", "yaml"), default=argparse.SUPPRESS)
        verb.add_argument(
            "--local", action="store_true", default=argparse.SUPPRESS, help="see lynceus --help"
        )
        api.arguments(verb)
        verb.add_argument("--reason", default="", help="only what failed for this reason")
        if name == "redrive":
            verb.add_argument("workflows", nargs="*", metavar="WORKFLOW", help="names of Workflows")
            verb.add_argument("--all", action="store_true", help="all that failed")
            verb.add_argument("--letters", action="store_true", help="messages on the dead letter queue")
            verb.add_argument("--dry-run", action="store_true", help="only say what would be tried")
            verb.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace, out: Output) -> int:
    """One verb; `list` exits 1 when something failed."""
    asked = Api.of(options)
    return _list(asked, options, out) if options.what == "list" else _redrive(asked, options, out)


def _failed(asked: Api, reason: str) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        page = asked.get("failed", limit="100", cursor=cursor)
        yield from (item for item in page["items"] if reason in ("", item.get("reason")))
        cursor = page["cursor"]
        if not cursor:
            return


def _list(asked: Api, options: argparse.Namespace, out: Output) -> int:
    items = list(_failed(asked, options.reason))
    try:
        letters = asked.post("dead-letters", wish={})["items"]
    except api.Refused as error:
        letters = []
        out.error(f"dead letters are not shown: {error.message}")
    out.data({"items": items, "deadLetters": letters})
    for item in items:
        out.line(f"{item['workflow']}  {item['source']}  {item.get('finishedAt', '')[:19]}Z", colour="red")
        api.tell_reason(item, out)
    for letter in letters:
        out.line(
            f"dead letter {letter['id']}  {letter['sentAt'][:19]}Z  {letter['size']} bytes", colour="red"
        )
        out.line(f"  {letter['reason']}")
    if not items and not letters:
        out.line("nothing failed")
    return NO if items or letters else DONE


def _redrive(asked: Api, options: argparse.Namespace, out: Output) -> int:
    if options.letters:
        return _revive(asked, options, out)
    if not options.workflows and not options.all:
        out.error("which ones?", "name Workflows (lynceus dlq list), or say --all or --letters")
        return USAGE
    wanted = set(options.workflows)
    chosen = [item for item in _failed(asked, options.reason) if not wanted or item["workflow"] in wanted]
    missing = wanted - {item["workflow"] for item in chosen}
    if missing:
        out.error(
            f"has not failed in namespace {asked.namespace}: {', '.join(sorted(missing))}",
            "lynceus dlq list names what has; lynceus events workflow NAME tells of any other",
        )
        return NO
    for item in chosen:
        out.line(f"{item['workflow']}  {item['source']}  {item.get('reason', '')}")
    if options.dry_run or not chosen:
        out.line(f"{len(chosen)} submissions")
        out.data({"dryRun": options.dry_run, "items": chosen})
        return DONE
    if not out.confirm(
        f"try {len(chosen)} submissions again in namespace {asked.namespace}?", yes=options.yes
    ):
        return NO
    items: list[dict[str, Any]] = []
    for at in range(0, len(chosen), BATCH):
        pointers = [
            {"workflow": item["workflow"], "submission": item["id"]} for item in chosen[at : at + BATCH]
        ]
        items += asked.post("redrives", wish={"submissions": pointers})["items"]
        out.progress(f"{len(items)} of {len(chosen)}")
    out.end_progress()
    errors = [item for item in items if "error" in item]
    for item in errors:
        out.line(f"  {item['workflow']}: {item['error']}", colour="red")
    out.line(f"{len(items) - len(errors)} tried again, {len(errors)} refused")
    out.data({"items": items})
    return NO if errors else DONE


def _revive(asked: Api, options: argparse.Namespace, out: Output) -> int:
    seen = asked.post("dead-letters", wish={})["items"]
    for letter in seen:
        out.line(f"{letter['id']}  {letter['reason']}")
    out.line(f"{len(seen)} dead letters can be seen now (ten at most)")
    if options.dry_run or not seen:
        out.data({"dryRun": options.dry_run, "items": seen})
        return DONE
    if not out.confirm(f"send {len(seen)} messages to the workers again?", yes=options.yes):
        return NO
    wanted, sent = {letter["id"] for letter in seen}, set[str]()
    until = time.monotonic() + HIDDEN
    while not wanted <= sent and time.monotonic() < until:
        # Looking has hidden them from everybody, ourselves included, for a minute.
        sent |= {letter["id"] for letter in asked.post("dead-letters", wish={"redrive": True})["items"]}
        if not wanted <= sent:
            out.progress(f"{len(sent)} of {len(wanted)} sent; the others show again within a minute")
            time.sleep(5)
    out.end_progress()
    out.line(f"{len(sent)} sent again")
    out.data({"sent": sorted(sent)})
    return DONE if wanted <= sent else NO
