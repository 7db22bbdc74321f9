"""The reading side of the ledger's table: pages, notes, texts of bindings, refusals.

    event#<id>              note#<time>#n        a line added to an event's record
    failed#<namespace>      <time>#<pointer>     written when a submission fails; the submission says if it still is
    binding#<ns>#<name>     text#<time>#<hash>   a binding as it was seen
    binding#<ns>#<name>     error                its latest error
    refused#<namespace>     <minute>#<reason>    how many, with a sample

Every list is one query for each page. Cursors are DynamoDB's own keys, in base64: they hold names and times, never
content, and a foreign one gives at worst another page of what its bearer may see anyway.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from chalicelib.adapters.ledger import DynamoLedger, moment_of, pack, stamp, unpack, workflow_key
from chalicelib.core.errors import BadRequest, Unavailable
from chalicelib.core.records import EventRecord
from chalicelib.core.snapshots import slim
from chalicelib.core.submissions import Pointer, Submission, digest_of
from chalicelib.ports import NOTES, Listed, Refusal

Item = dict[str, Any]


class DynamoArchive:
    """The Archive port over the ledger's table."""

    def __init__(self, ledger: DynamoLedger) -> None:
        self._ledger = ledger
        self._latest: dict[tuple[str, str], str] = {}  # (namespace, binding) → the text known to be kept last

    def events(self, namespace: str, day: date, limit: int, cursor: str) -> tuple[list[Listed], str]:
        """See `chalicelib.ports.Archive.events`."""
        under = f"events#{namespace}#{day:%Y-%m-%d}"
        items, following = self._page("by-time", "listed_under", under, limit, cursor)
        found = [
            Listed(
                item["pk"]["S"].removeprefix("event#"),
                moment_of(item["listed_at"]["S"].partition("#")[0]),
                json.loads(item["summary"]["S"]),
            )
            for item in items
        ]
        return found, following

    def runs(
        self, kind: str, namespace: str, source: str, limit: int, cursor: str
    ) -> tuple[list[Submission], str]:
        """See `chalicelib.ports.Archive.runs`."""
        under = f"{kind}#{namespace}#{source}"
        items, following = self._page("by-time", "listed_under", under, limit, cursor)
        return self._submissions(items), following

    def of_workflow(self, namespace: str, workflow: str) -> list[Submission]:
        """See `chalicelib.ports.Archive.of_workflow`."""
        items = self._ledger.call(
            lambda: self._ledger.client.query(
                TableName=self._ledger.table,
                KeyConditionExpression="pk = :pk AND begins_with(sk, :sub)",
                ExpressionAttributeValues={
                    ":pk": {"S": workflow_key(namespace, workflow)},
                    ":sub": {"S": "sub#"},
                },
            )
        )["Items"]
        return [self._ledger.submission_of(item) for item in items]

    def failed(self, namespace: str, limit: int, cursor: str) -> tuple[list[Submission], str]:
        """See `chalicelib.ports.Archive.failed`."""
        items, following = self._page(None, "pk", f"failed#{namespace}", limit, cursor)
        pointers = [Pointer(*json.loads(item["pointer"]["S"])) for item in items]
        found = [self._ledger.submission(pointer) for pointer in dict.fromkeys(pointers)]
        return [s for s in found if s is not None and s.progress.state == "failed"], following

    def note(self, event_id: str, at: datetime, fields: Mapping[str, Any]) -> None:
        """See `chalicelib.ports.Archive.note`."""
        text = json.dumps(dict(fields), default=str)
        self._put(
            {
                "pk": {"S": f"event#{event_id}"},
                "sk": {"S": f"note#{stamp(at)}#{digest_of(text)[:8]}"},
                "fields": {"S": text},
                "expires": {"N": str(self._ledger.expiry(at))},
            }
        )

    def notes(self, event_id: str) -> list[Mapping[str, Any]]:
        """See `chalicelib.ports.Archive.notes`."""
        items = self._ledger.call(
            lambda: self._ledger.client.query(
                TableName=self._ledger.table,
                KeyConditionExpression="pk = :pk AND begins_with(sk, :note)",
                ExpressionAttributeValues={":pk": {"S": f"event#{event_id}"}, ":note": {"S": "note#"}},
                ScanIndexForward=False,
                Limit=NOTES,
                ConsistentRead=True,
            )
        )["Items"]
        return [
            {"at": moment_of(item["sk"]["S"].split("#")[1]).isoformat(), **json.loads(item["fields"]["S"])}
            for item in reversed(items)
        ]

    def keep_binding(self, raw: Mapping[str, Any], at: datetime) -> None:
        """See `chalicelib.ports.Archive.keep_binding`."""
        slimmed = slim(raw)
        metadata = slimmed["metadata"]
        # Annotations decide too (lynceus.dev/…), versions and labels do not.
        decides = [slimmed["spec"], metadata.get("annotations")]
        content = digest_of("text", json.dumps(decides, sort_keys=True, default=str))
        key = (str(metadata.get("namespace", "")), str(metadata["name"]))
        if self._latest.get(key) == content:
            return
        latest = self._latest_text(key[0], key[1], at)
        if latest is None or latest["content"]["S"] != content:
            self._put(
                {
                    "pk": {"S": f"binding#{key[0]}#{key[1]}"},
                    "sk": {"S": f"text#{stamp(at)}#{content[:8]}"},
                    "content": {"S": content},
                    "blob": {"B": pack(slimmed)},
                }
            )
        if len(self._latest) > 20_000:
            self._latest.clear()
        self._latest[key] = content

    def binding_at(self, namespace: str, name: str, at: datetime) -> Mapping[str, Any] | None:
        """See `chalicelib.ports.Archive.binding_at`."""
        item = self._latest_text(namespace, name, at)
        if item is None:
            return None
        raw: Mapping[str, Any] = unpack(item["blob"]["B"])
        return raw

    def _latest_text(self, namespace: str, name: str, at: datetime) -> Item | None:
        items = self._ledger.call(
            lambda: self._ledger.client.query(
                TableName=self._ledger.table,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":pk": {"S": f"binding#{namespace}#{name}"},
                    ":first": {"S": "text#"},
                    ":last": {"S": f"text#{stamp(at)}~"},
                },
                ScanIndexForward=False,
                Limit=1,
            )
        )["Items"]
        return items[0] if items else None

    def keep_error(self, namespace: str, binding: str, event_id: str, message: str, at: datetime) -> None:
        """See `chalicelib.ports.Archive.keep_error`."""
        self._ledger.call(
            lambda: self._ledger.client.update_item(
                TableName=self._ledger.table,
                Key={"pk": {"S": f"binding#{namespace}#{binding}"}, "sk": {"S": "error"}},
                UpdateExpression="SET event = :event, message = :message, #at = :at, expires = :expires ADD #n :one",
                ExpressionAttributeNames={"#at": "at", "#n": "count"},
                ExpressionAttributeValues={
                    ":event": {"S": event_id},
                    ":message": {"S": message[:500]},
                    ":at": {"S": stamp(at)},
                    ":expires": {"N": str(self._ledger.expiry(at))},
                    ":one": {"N": "1"},
                },
            )
        )

    def error_of(self, namespace: str, binding: str) -> Mapping[str, Any] | None:
        """See `chalicelib.ports.Archive.error_of`."""
        item = self._ledger.item(f"binding#{namespace}#{binding}", "error")
        if item is None:
            return None
        return {
            "event": item["event"]["S"],
            "message": item["message"]["S"],
            "at": moment_of(item["at"]["S"]).isoformat(),
            "count": int(item["count"]["N"]),
        }

    def refuse(self, refusal: Refusal) -> None:
        """See `chalicelib.ports.Archive.refuse`."""
        self._ledger.call(
            lambda: self._ledger.client.update_item(
                TableName=self._ledger.table,
                Key={
                    "pk": {"S": f"refused#{refusal.namespace}"},
                    "sk": {"S": f"{stamp(refusal.minute)}#{refusal.reason}"},
                },
                UpdateExpression="SET #s = if_not_exists(#s, :sample), expires = :expires ADD #n :count",
                ExpressionAttributeNames={"#n": "count", "#s": "sample"},
                ExpressionAttributeValues={
                    ":sample": {"S": json.dumps(dict(refusal.sample))},
                    ":expires": {"N": str(self._ledger.expiry(refusal.minute))},
                    ":count": {"N": str(refusal.count)},
                },
            )
        )

    def refused(self, namespace: str, since: datetime, limit: int) -> list[Refusal]:
        """See `chalicelib.ports.Archive.refused`."""
        items = self._ledger.call(
            lambda: self._ledger.client.query(
                TableName=self._ledger.table,
                KeyConditionExpression="pk = :pk AND sk >= :since",
                ExpressionAttributeValues={
                    ":pk": {"S": f"refused#{namespace}"},
                    ":since": {"S": stamp(since)},
                },
                ScanIndexForward=False,
                Limit=limit,
            )
        )["Items"]
        found = []
        for item in items:
            minute, _, reason = item["sk"]["S"].partition("#")
            sample = json.loads(item["sample"]["S"])
            found.append(Refusal(namespace, reason, moment_of(minute), int(item["count"]["N"]), sample))
        return found

    def erase_body(self, record: EventRecord) -> None:
        """See `chalicelib.ports.Archive.erase_body`."""
        for item in self._ledger.pieces(f"event#{record.id}", "body"):
            self._ledger.call(
                lambda item=item: self._ledger.client.delete_item(  # type: ignore[misc]
                    TableName=self._ledger.table, Key={"pk": item["pk"], "sk": item["sk"]}
                )
            )

    def _put(self, item: Item) -> None:
        self._ledger.call(lambda: self._ledger.client.put_item(TableName=self._ledger.table, Item=item))

    def _submissions(self, items: list[Item]) -> list[Submission]:
        found = []
        for item in items:
            _, namespace, workflow = item["pk"]["S"].split("#", 2)
            found.append(
                self._ledger.submission(Pointer(namespace, workflow, item["sk"]["S"].removeprefix("sub#")))
            )
        return [submission for submission in found if submission is not None]

    def _page(
        self, index: str | None, key: str, value: str, limit: int, cursor: str
    ) -> tuple[list[Item], str]:
        query: dict[str, Any] = {
            "TableName": self._ledger.table,
            "KeyConditionExpression": f"{key} = :key",
            "ExpressionAttributeValues": {":key": {"S": value}},
            "ScanIndexForward": False,
            "Limit": limit,
        }
        if index:
            query["IndexName"] = index
        if cursor:
            query["ExclusiveStartKey"] = _key_of(cursor, key, value)
        try:
            answer = self._ledger.call(lambda: self._ledger.client.query(**query))
        except Unavailable as error:
            if cursor and error.message.endswith("ValidationException"):
                raise _foreign_cursor() from error
            raise
        return answer["Items"], cursor_of(answer.get("LastEvaluatedKey"))


def cursor_of(key: Mapping[str, Any] | None) -> str:
    """An opaque page token for DynamoDB's last evaluated key, "" where there is none."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode() if key else ""


def _key_of(cursor: str, name: str, value: str) -> Item:
    """The key in a cursor; raises BadRequest for one that is not of this very list."""
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if key[name]["S"] != value or not all(isinstance(part["S"], str) for part in key.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise _foreign_cursor() from None
    return dict(key)


def _foreign_cursor() -> BadRequest:
    return BadRequest("the cursor is not one of this list: begin again without it")
