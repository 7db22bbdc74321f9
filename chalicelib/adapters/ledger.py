"""The ledger in DynamoDB: one table, two indexes, fixed from the start.

    pk                              sk               what
    event#<event id>                head             the event, and the claim: epoch 0 of a claim key is its lock
    event#<event id>                body#<digest>#n  the raw body, compressed, in pieces
    workflow#<namespace>#<name>     sub#<id>         a submission and its progress, found from event and Workflow alike
    workflow#<namespace>#<name>     text#<id>#n      its rendered text, where it is large
    snapshot#<scope>                meta, part#n     the last known bindings
    health                          cluster          what the last tick saw
    cron#<uid>                      state            what is remembered of a CronWorkflow

    index by-time   listed_under, listed_at    events of a namespace and day; submissions of a binding or CronWorkflow
    index outbox    shard, due                 what is still to be done, in sixteen shards; keys only

What it costs decides its shape (rule 43). A write costs its whole item in units of 1 KB, twice that inside a
transaction, and one unit for each index entry that changes. So the body is written apart and once; the head is
written once; what changes, the progress, lies in an item of its own; and since a submission's key is its
Workflow's name, looking one up by Workflow needs no index.

The outbox is an attribute: an item that is not terminal carries `shard` and `due`. Whoever dies leaves it
behind, and the sweep finds it. Removing the attributes is what "done" means.
"""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from chalicelib.core.bindings import Verdict
from chalicelib.core.errors import Conflict, LynceusError, NotFound, Throttled, Unavailable
from chalicelib.core.events import Account
from chalicelib.core.records import EventRecord
from chalicelib.core.snapshots import Snapshot
from chalicelib.core.submissions import Pointer, Progress, Submission, TemplateRef
from chalicelib.ports import CronState, Health, Outstanding

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SHARDS = 16
PIECE = 350 * 1024  # bytes of an item's blob; an item may have 400 KB
TRANSACTION_ITEMS = 100
TRANSACTION_BYTES = 4 * 1024 * 1024
INLINE = 8 * 1024  # bytes of compressed text that a submission carries itself
OUTAGE = timedelta(
    days=30
)  # what is not done yet needs its pieces for so long at least, whatever the retention
FORM = 1  # of the items, as the attribute `v`; what is one form older, or has none, is read too (rule 42)

T = TypeVar("T")

Item = dict[str, Any]  # in DynamoDB's own form: {"S": …}, {"N": …}, {"B": …}


def stamp(moment: datetime) -> str:
    """A moment as text that sorts: UTC, microseconds, fixed width."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment_of(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _shard_of(key: str) -> str:
    return f"outbox#{int(hashlib.sha256(key.encode()).hexdigest()[:4], 16) % SHARDS}"


def pack(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 6)


def unpack(blob: bytes) -> Any:
    return json.loads(zlib.decompress(blob).decode("utf-8", "surrogatepass"))


class DynamoLedger:
    """The Ledger port over one DynamoDB table."""

    def __init__(
        self,
        client: Callable[[], DynamoDBClient],
        table: str,
        *,
        retention: timedelta = timedelta(days=30),
        keep_bodies: bool = True,
    ) -> None:
        self._make_client = client
        self._made: DynamoDBClient | None = None
        self._lock = threading.Lock()
        self.table = table
        self._retention = retention
        self._keep_bodies = keep_bodies

    @property
    def client(self) -> DynamoDBClient:
        if self._made is None:
            with self._lock:
                self._made = self._made or self._make_client()
        return self._made

    # Events

    def keep(self, record: EventRecord, body: bytes, submissions: Sequence[Submission]) -> EventRecord | None:
        """See `chalicelib.ports.Ledger.keep`."""
        deferred = record.deferred_after is not None
        if self._keep_bodies or deferred:
            kept_for = max(self._retention, OUTAGE) if deferred else self._retention
            until = record.received_at + kept_for
            self._put_pieces(f"event#{record.id}", f"body#{record.digest}", zlib.compress(body, 6), until)
        puts = [self._put(_head_item(record, self.expiry(record.received_at)), "attribute_not_exists(pk)")]
        # DynamoDB deletes what expired in its own time, each item for itself: one whose head went first must not
        # keep the same delivery from being new.
        gone: Item = {":now": {"N": str(int(record.received_at.timestamp()))}}
        free = "attribute_not_exists(pk) OR expires < :now"
        puts += [self._put_submission(submission, free, gone) for submission in submissions]
        try:
            self._write(puts)
        except Conflict:
            existing = self.event(record.id)
            if existing is None:
                # The condition failed and nothing is there: a submission's key was taken, or TTL was faster.
                raise Unavailable("the event could not be stored: a record of it came and went") from None
            return None if existing.nonce == record.nonce else existing
        return None

    def event(self, event_id: str) -> EventRecord | None:
        """See `chalicelib.ports.Ledger.event`."""
        item = self.item(f"event#{event_id}", "head")
        return record_of(item) if item else None

    def body(self, record: EventRecord) -> bytes:
        """See `chalicelib.ports.Ledger.body`."""
        blob = self._get_pieces(f"event#{record.id}", f"body#{record.digest}")
        if blob is None:
            raise NotFound(
                f"the body of event {record.id} is not kept (erased, LYNCEUS_KEEP_BODIES=none, or its time is over)"
            )
        return zlib.decompress(blob)

    def extend(
        self,
        record: EventRecord,
        fresh: Sequence[Submission],
        reopened: Sequence[tuple[Submission, Submission]],
    ) -> None:
        """See `chalicelib.ports.Ledger.extend`."""
        head = self._put(
            _head_item(record, self.expiry(record.received_at)),
            "version = :before",
            {":before": {"N": str(record.version - 1)}},
        )
        puts = [head, *(self._put_submission(submission) for submission in fresh)]
        for before, after in reopened:
            if before.workflow != after.workflow:
                # The name is part of the key: the old record stays as it ended, the new one stands beside it.
                puts.append(self._put_submission(after))
                continue
            puts.append(
                self._put_submission(
                    after, "version = :before", {":before": {"N": str(before.progress.version)}}
                )
            )
        self._write(puts)
        if not self._keep_bodies and record.deferred_after is None:
            # It was kept only for bindings that had not been asked.
            self._expire_pieces(f"event#{record.id}", f"body#{record.digest}", record.received_at)

    # Submissions

    def submission(self, pointer: Pointer) -> Submission | None:
        """See `chalicelib.ports.Ledger.submission`."""
        item = self.item(workflow_key(pointer.namespace, pointer.workflow), f"sub#{pointer.submission}")
        return self.submission_of(item) if item else None

    def submissions(self, record: EventRecord) -> list[Submission]:
        """See `chalicelib.ports.Ledger.submissions`."""
        found = (self.submission(pointer) for pointer in record.submissions)
        return [submission for submission in found if submission is not None]

    def advance(self, before: Submission, after: Submission) -> None:
        """See `chalicelib.ports.Ledger.advance`."""
        if after.progress.state == "failed":
            self._list_failed(after)
        sets, removes = _progress_changes(before.progress, after.progress)
        names: dict[str, str] = {}
        values: Item = {":before": {"N": str(before.progress.version)}}
        key = f"{workflow_key(after.namespace, after.workflow)}|{after.id}"
        if after.terminal:
            removes += ["shard", "due"]
            sets["expires"] = {"N": str(self.expiry(after.progress.finished_at or after.received_at))}
        elif after.progress.due != before.progress.due and after.progress.due is not None:
            if before.terminal:
                removes.append("expires")  # opened again: it lives for as long as it is not done
            sets["shard"] = {"S": _shard_of(key)}
            sets["due"] = {"S": stamp(after.progress.due)}
        parts = []
        for number, (name, value) in enumerate(sets.items()):
            names[f"#s{number}"] = name
            values[f":s{number}"] = value
            parts.append(f"#s{number} = :s{number}")
        expression = "SET " + ", ".join(parts)
        if removes:
            for number, name in enumerate(removes):
                names[f"#r{number}"] = name
            expression += " REMOVE " + ", ".join(f"#r{number}" for number in range(len(removes)))
        self.call(
            lambda: self.client.update_item(
                TableName=self.table,
                Key={
                    "pk": {"S": workflow_key(after.namespace, after.workflow)},
                    "sk": {"S": f"sub#{after.id}"},
                },
                UpdateExpression=expression,
                ConditionExpression="version = :before",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        )

    def rewrite(self, before: Submission, after: Submission) -> None:
        """See `chalicelib.ports.Ledger.rewrite`."""
        values: Item = {":before": {"N": str(before.progress.version)}}
        put = self._put_submission(after, "version = :before", values)["Put"]
        self.call(lambda: self.client.put_item(**put))

    def _list_failed(self, submission: Submission) -> None:
        # Before the step itself: a reader looks at the submission and drops what did not come to be.
        moment = submission.progress.finished_at or _time_of(submission)
        pointer = submission.pointer
        item: Item = {
            "pk": {"S": f"failed#{submission.namespace}"},
            "sk": {"S": f"{stamp(moment)}#{submission.id}"},
            "pointer": {"S": json.dumps([pointer.namespace, pointer.workflow, pointer.submission])},
            "expires": {"N": str(self.expiry(moment))},
        }
        self.call(lambda: self.client.put_item(TableName=self.table, Item=item))

    def begin_run(self, run: Submission) -> bool:
        """See `chalicelib.ports.Ledger.begin_run`."""
        put = self._put_submission(run)["Put"]
        try:
            self.call(lambda: self.client.put_item(**put))
        except Conflict:
            return False
        return True

    # The outbox

    def due(self, shard: int, now: datetime, limit: int) -> list[Outstanding]:
        """See `chalicelib.ports.Ledger.due`."""
        answer = self.call(
            lambda: self.client.query(
                TableName=self.table,
                IndexName="outbox",
                KeyConditionExpression="shard = :shard AND due <= :now",
                ExpressionAttributeValues={":shard": {"S": f"outbox#{shard}"}, ":now": {"S": stamp(now)}},
                Limit=limit,
            )
        )
        return [_outstanding_of(item) for item in answer["Items"]]

    def postpone(self, outstanding: Outstanding, until: datetime) -> bool:
        """See `chalicelib.ports.Ledger.postpone`."""
        try:
            self.call(
                lambda: self.client.update_item(
                    TableName=self.table,
                    Key=_outstanding_key(outstanding),
                    UpdateExpression="SET due = :until",
                    ConditionExpression="due = :read",
                    ExpressionAttributeValues={
                        ":until": {"S": stamp(until)},
                        ":read": {"S": stamp(outstanding.due)},
                    },
                )
            )
        except Conflict:
            return False
        return True

    # The snapshot, health, cron

    def snapshot(self, scope: str) -> Snapshot | None:
        """See `chalicelib.ports.Ledger.snapshot`."""
        item = self.item(f"snapshot#{scope}", "meta")
        if item is None:
            return None
        blob = self._get_pieces(f"snapshot#{scope}", f"part#{item['content']['S']}")
        if blob is None:
            return None  # replaced while it was read: the caller asks again in seconds
        sighted = item.get("sighted_at", {}).get("S")
        return Snapshot(
            scope=scope,
            objects=tuple(unpack(blob)),
            revision=int(item["revision"]["N"]),
            taken_at=moment_of(item["taken_at"]["S"]),
            version=int(item["version"]["N"]),
            doubtful=item["doubtful"]["S"],
            sightings=int(item["sightings"]["N"]),
            sighted_at=moment_of(sighted) if sighted else None,
        )

    def put_snapshot(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        """See `chalicelib.ports.Ledger.put_snapshot`."""
        pk, content = f"snapshot#{snapshot.scope}", snapshot.content
        if before is None or before.content != content:
            # Pieces first, under their content's name: a reader of the old meta still finds the old pieces.
            self._put_pieces(pk, f"part#{content}", pack(list(snapshot.objects)), None)
        item: Item = {
            "pk": {"S": pk},
            "sk": {"S": "meta"},
            "content": {"S": content},
            "revision": {"N": str(snapshot.revision)},
            "taken_at": {"S": stamp(snapshot.taken_at)},
            "version": {"N": str(snapshot.version)},
            "doubtful": {"S": snapshot.doubtful},
            "sightings": {"N": str(snapshot.sightings)},
        }
        if snapshot.sighted_at:
            item["sighted_at"] = {"S": stamp(snapshot.sighted_at)}
        if before is None:
            put = self._put(item, "attribute_not_exists(pk)")["Put"]
        else:
            put = self._put(item, "version = :before", {":before": {"N": str(before.version)}})["Put"]
        self.call(lambda: self.client.put_item(**put))
        if before is not None and before.content != content:
            self._expire_pieces(pk, f"part#{before.content}", snapshot.taken_at + timedelta(hours=1))

    def health(self) -> Health | None:
        """See `chalicelib.ports.Ledger.health`."""
        item = self.item("health", "cluster")
        if item is None:
            return None
        return Health(
            cluster_up=item["cluster_up"]["BOOL"],
            checked_at=moment_of(item["checked_at"]["S"]),
            ticked_at=moment_of(item["ticked_at"]["S"]),
            since=moment_of(item["since"]["S"]),
            message=item["message"]["S"],
        )

    def put_health(self, health: Health) -> None:
        """See `chalicelib.ports.Ledger.put_health`."""
        item: Item = {
            "pk": {"S": "health"},
            "sk": {"S": "cluster"},
            "cluster_up": {"BOOL": health.cluster_up},
            "checked_at": {"S": stamp(health.checked_at)},
            "ticked_at": {"S": stamp(health.ticked_at)},
            "since": {"S": stamp(health.since)},
            "message": {"S": health.message},
        }
        self.call(lambda: self.client.put_item(TableName=self.table, Item=item))

    def cron_state(self, uid: str) -> CronState:
        """See `chalicelib.ports.Ledger.cron_state`."""
        item = self.item(f"cron#{uid}", "state")
        if item is None:
            return CronState(uid)
        raw = json.loads(item["state"]["S"])
        for name in ("decided_at", "until"):
            raw[name] = moment_of(raw[name]) if raw.get(name) else None
        known = {field.name for field in fields(CronState)}
        return CronState(**{name: value for name, value in raw.items() if name in known})

    def put_cron_state(self, state: CronState) -> None:
        """See `chalicelib.ports.Ledger.put_cron_state`."""
        raw = {
            name: stamp(value) if isinstance(value, datetime) else value
            for name, value in asdict(state).items()
        }
        item: Item = {
            "pk": {"S": f"cron#{state.uid}"},
            "sk": {"S": "state"},
            "version": {"N": str(state.version)},
            "state": {"S": json.dumps(raw)},
        }
        put = self._put(
            item, "attribute_not_exists(pk) OR version = :before", {":before": {"N": str(state.version - 1)}}
        )["Put"]
        self.call(lambda: self.client.put_item(**put))

    def tally(self, key: str, until: datetime) -> int:
        """See `chalicelib.ports.Ledger.tally`."""
        answer = self.call(
            lambda: self.client.update_item(
                TableName=self.table,
                Key={"pk": {"S": f"tally#{key}"}, "sk": {"S": "count"}},
                UpdateExpression="ADD hits :one SET expires = :until",
                ExpressionAttributeValues={":one": {"N": "1"}, ":until": {"N": str(int(until.timestamp()))}},
                ReturnValues="UPDATED_NEW",
            )
        )
        return int(answer["Attributes"]["hits"]["N"])

    # Items

    def expiry(self, moment: datetime | None) -> int:
        return int(((moment or datetime.now(UTC)) + self._retention).timestamp())

    def _put(self, item: Item, condition: str, values: Item | None = None) -> dict[str, Any]:
        formed = {**item, "v": {"N": str(FORM)}}
        put: dict[str, Any] = {"TableName": self.table, "Item": formed, "ConditionExpression": condition}
        if values:
            put["ExpressionAttributeValues"] = values
        return {"Put": put}

    def _put_submission(
        self, submission: Submission, condition: str = "attribute_not_exists(pk)", values: Item | None = None
    ) -> dict[str, Any]:
        key = workflow_key(submission.namespace, submission.workflow)
        text = pack(_text_of(submission))
        item: Item = {
            "pk": {"S": key},
            "sk": {"S": f"sub#{submission.id}"},
            "kind": {"S": submission.kind},
            "cause": {"S": submission.cause},
            "source": {"S": submission.source},
            "listed_under": {"S": f"{submission.kind}#{submission.namespace}#{submission.source}"},
            "listed_at": {"S": f"{stamp(_time_of(submission))}#{submission.id}"},
        }
        if len(text) > INLINE:
            digest = hashlib.sha256(text).hexdigest()[:16]
            until = _time_of(submission) + max(self._retention, OUTAGE)
            self._put_pieces(key, f"text#{submission.id}#{digest}", text, until)
            item["text_at"] = {"S": f"text#{submission.id}#{digest}"}
        else:
            item["text"] = {"B": text}
        sets, _ = _progress_changes(None, submission.progress)
        item |= sets
        if submission.terminal:
            item["expires"] = {"N": str(self.expiry(submission.progress.finished_at))}
        elif submission.progress.due is not None:
            item["shard"] = {"S": _shard_of(f"{key}|{submission.id}")}
            item["due"] = {"S": stamp(submission.progress.due)}
        return self._put(item, condition, values)

    def submission_of(self, item: Item) -> Submission:
        blob = (
            item["text"]["B"] if "text" in item else self._get_pieces(item["pk"]["S"], item["text_at"]["S"])
        )
        if blob is None:
            raise Unavailable(f"the text of submission {item['sk']['S']} is not to be read")
        return _submission_of(item, unpack(blob))

    # Blobs in pieces

    def _put_pieces(self, pk: str, prefix: str, blob: bytes, until: datetime | None) -> None:
        pieces = [blob[at : at + PIECE] for at in range(0, len(blob), PIECE)] or [b""]
        for number, piece in enumerate(pieces):
            item: Item = {
                "pk": {"S": pk},
                "sk": {"S": f"{prefix}#{number:03}"},
                "of": {"N": str(len(pieces))},
                "blob": {"B": piece},
            }
            if until is not None:
                item["expires"] = {"N": str(int(until.timestamp()))}
            self.call(lambda item=item: self.client.put_item(TableName=self.table, Item=item))  # type: ignore[misc]

    def _get_pieces(self, pk: str, prefix: str) -> bytes | None:
        items = self.pieces(pk, prefix)
        if not items or len(items) != int(items[0]["of"]["N"]):
            return None
        return b"".join(bytes(item["blob"]["B"]) for item in items)

    def pieces(self, pk: str, prefix: str) -> list[Item]:
        items: list[Item] = []
        start: Item = {}
        while True:
            answer = self.call(
                lambda start=start: self.client.query(  # type: ignore[misc]
                    TableName=self.table,
                    KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
                    ExpressionAttributeValues={":pk": {"S": pk}, ":prefix": {"S": f"{prefix}#"}},
                    ConsistentRead=True,
                    **start,
                )
            )
            items += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return items
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _expire_pieces(self, pk: str, prefix: str, until: datetime) -> None:
        """Let pieces nobody points to any more go; best effort."""
        try:
            for item in self.pieces(pk, prefix):
                self.call(
                    lambda item=item: self.client.update_item(  # type: ignore[misc]
                        TableName=self.table,
                        Key={"pk": item["pk"], "sk": item["sk"]},
                        UpdateExpression="SET expires = :at",
                        ExpressionAttributeValues={":at": {"N": str(int(until.timestamp()))}},
                    )
                )
        except LynceusError:
            return

    # Calls

    def item(self, pk: str, sk: str) -> Item | None:
        answer = self.call(
            lambda: self.client.get_item(
                TableName=self.table, Key={"pk": {"S": pk}, "sk": {"S": sk}}, ConsistentRead=True
            )
        )
        item: Item | None = answer.get("Item")
        if item and int(item.get("v", {"N": "0"})["N"]) > FORM:
            # In the middle of an update, or after going back: who can read it comes later, and nothing is lost.
            raise Unavailable(f"{pk} was written by a newer version of Lynceus: deploy that version again")
        return item

    def _write(self, puts: Sequence[dict[str, Any]]) -> None:
        """Write all or nothing; raises Conflict when a condition failed."""
        size = sum(_size_of(put["Put"]["Item"]) for put in puts)
        if len(puts) > TRANSACTION_ITEMS or size > TRANSACTION_BYTES:
            raise AssertionError(
                f"a transaction of {len(puts)} items and {size} bytes: matching must stop earlier"
            )
        if len(puts) == 1:
            self.call(lambda: self.client.put_item(**puts[0]["Put"]))
            return
        self.call(lambda: self.client.transact_write_items(TransactItems=list(puts)))  # type: ignore[arg-type]

    def call(self, call: Callable[[], T]) -> T:
        """What the call returns; foreign errors end here.

        A cancelled transaction is a Conflict only when a condition failed: one that met another transaction is
        tried again with the same ids.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(4):
            try:
                return call()
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ConditionalCheckFailedException":
                    raise Conflict("somebody else wrote in between") from error
                if code == "TransactionCanceledException":
                    reasons: Iterable[Mapping[str, Any]] = error.response.get("CancellationReasons") or ()
                    codes = {str(reason.get("Code", "")) for reason in reasons}
                    if "ConditionalCheckFailed" in codes or not codes:
                        raise Conflict("somebody else wrote in between") from error
                    if attempt < 3 and codes <= {"None", "", "TransactionConflict"}:
                        continue
                    raise Unavailable(f"the ledger cancelled a transaction: {sorted(codes)}") from error
                if code in ("TransactionConflictException", "TransactionInProgressException") and attempt < 3:
                    continue
                if code in (
                    "ProvisionedThroughputExceededException",
                    "ThrottlingException",
                    "RequestLimitExceeded",
                ):
                    raise Throttled(f"the ledger asks to slow down: {code}") from error
                raise Unavailable(f"the ledger answered {code}") from error
            except BotoCoreError as error:
                raise Unavailable(f"the ledger does not answer: {type(error).__name__}") from error
        raise Unavailable("the ledger is contended: four transactions in a row were cancelled")


# Items and what they stand for


def workflow_key(namespace: str, name: str) -> str:
    return f"workflow#{namespace}#{name}"


def _time_of(submission: Submission) -> datetime:
    moment = submission.scheduled_at or submission.received_at
    if moment is None:
        raise AssertionError("a submission has the time of its cause")
    return moment


def _size_of(item: Item) -> int:
    """The item's size as DynamoDB counts it, nearly: names and values."""
    return sum(len(name) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    content = next(iter(value.values()))
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, str):
        return len(content.encode("utf-8", "surrogatepass"))
    return 1


_HEAD_PLAIN = ("claim", "nonce", "namespace", "discriminator", "digest")
_SUMMARY = ("client", "provider", "event_type", "action", "delivery_id", "size", "note")
_DETAIL = ("content_type", "headers", "trace", "repairs", "duplicate_of")


def _head_item(record: EventRecord, expires: int) -> Item:
    summary = {name: getattr(record, name) for name in _SUMMARY if getattr(record, name)}
    summary["counts"] = dict(record.counts)
    detail = {name: getattr(record, name) for name in _DETAIL if getattr(record, name)}
    account = record.account
    if (account.namespace, account.name) != (record.namespace, record.client):
        detail["account"] = [account.namespace, account.name]
    if account.uid:
        detail["uid"] = account.uid
    if record.verdicts:
        detail["verdicts"] = [
            {key: value for key, value in asdict(verdict).items() if value not in ("", None)}
            for verdict in record.verdicts
        ]
    if record.submissions:
        detail["submissions"] = [[p.namespace, p.workflow, p.submission] for p in record.submissions]
    item: Item = {
        "pk": {"S": f"event#{record.id}"},
        "sk": {"S": "head"},
        "version": {"N": str(record.version)},
        "epoch": {"N": str(record.epoch)},
        "summary": {"S": json.dumps(summary, separators=(",", ":"), ensure_ascii=False)},
        "detail": {"B": pack(detail)},
        "listed_under": {"S": f"events#{record.namespace}#{record.received_at.astimezone(UTC):%Y-%m-%d}"},
        "listed_at": {"S": f"{stamp(record.received_at)}#{record.id}"},
    }
    item |= {name: {"S": getattr(record, name)} for name in _HEAD_PLAIN if getattr(record, name)}
    if record.deferred_after is None:
        item["expires"] = {"N": str(expires)}
    else:
        item["deferred_after"] = {"S": record.deferred_after}
        item["shard"] = {"S": _shard_of(record.id)}
        item["due"] = {"S": stamp(record.received_at + timedelta(seconds=60))}
    return item


def record_of(item: Item) -> EventRecord:
    summary, detail = json.loads(item["summary"]["S"]), unpack(item["detail"]["B"])
    plain = {name: item[name]["S"] for name in _HEAD_PLAIN if name in item}
    namespace = plain["namespace"]
    client = summary.get("client", "")
    account = detail.get("account") or [namespace, client]
    return EventRecord(
        id=item["pk"]["S"].removeprefix("event#"),
        claim=plain.get("claim", ""),
        epoch=int(item["epoch"]["N"]),
        namespace=namespace,
        discriminator=plain.get("discriminator", ""),
        account=Account(account[0], account[1], detail.get("uid", "")),
        received_at=moment_of(item["listed_at"]["S"].partition("#")[0]),
        size=summary.get("size", 0),
        digest=plain["digest"],
        nonce=plain.get("nonce", ""),
        client=client,
        provider=summary.get("provider", ""),
        event_type=summary.get("event_type", ""),
        action=summary.get("action", ""),
        delivery_id=summary.get("delivery_id", ""),
        headers=detail.get("headers", {}),
        content_type=detail.get("content_type", ""),
        verdicts=tuple(_verdict_of(raw) for raw in detail.get("verdicts", ())),
        counts=summary.get("counts", {}),
        submissions=tuple(Pointer(*names) for names in detail.get("submissions", ())),
        deferred_after=item["deferred_after"]["S"] if "deferred_after" in item else None,
        repairs=detail.get("repairs", 0),
        duplicate_of=detail.get("duplicate_of", ""),
        version=int(item["version"]["N"]),
        note=summary.get("note", ""),
        trace=detail.get("trace", ""),
    )


def _verdict_of(raw: Mapping[str, Any]) -> Verdict:
    known = {field.name for field in fields(Verdict)}
    return Verdict(**{name: value for name, value in raw.items() if name in known})


def _text_of(submission: Submission) -> dict[str, Any]:
    """What of a submission never changes and is not read from its key."""
    text: dict[str, Any] = {
        "uid": submission.source_uid,
        "parameters": [list(pair) for pair in submission.parameters],
        "generate_name": submission.generate_name,
        "labels": dict(submission.labels),
        "annotations": dict(submission.annotations),
        "client": submission.client,
        "replay": submission.replay,
        "run": submission.run,
    }
    if submission.account:
        text["account"] = [submission.account.namespace, submission.account.name, submission.account.uid]
    if submission.template:
        text["template"] = [submission.template.name, submission.template.cluster_scope]
    for name in ("received_at", "scheduled_at", "expires_at"):
        moment: datetime | None = getattr(submission, name)
        if moment is not None:
            text[name] = stamp(moment)
    if submission.on_doubt != "create":
        text["on_doubt"] = submission.on_doubt
    return {name: value for name, value in text.items() if value not in ("", [], {})}


def _submission_of(item: Item, text: Mapping[str, Any]) -> Submission:
    _, namespace, workflow = item["pk"]["S"].split("#", 2)
    account, template = text.get("account"), text.get("template")
    return Submission(
        id=item["sk"]["S"].removeprefix("sub#"),
        kind=item["kind"]["S"],
        namespace=namespace,
        workflow=workflow,
        cause=item["cause"]["S"],
        source=item["source"]["S"],
        source_uid=text.get("uid", ""),
        account=Account(*account) if account else None,
        client=text.get("client", ""),
        template=TemplateRef(*template) if template else None,
        parameters=tuple((name, value) for name, value in text.get("parameters", ())),
        generate_name=text.get("generate_name", ""),
        labels=text.get("labels", {}),
        annotations=text.get("annotations", {}),
        received_at=moment_of(text["received_at"]) if "received_at" in text else None,
        scheduled_at=moment_of(text["scheduled_at"]) if "scheduled_at" in text else None,
        expires_at=moment_of(text["expires_at"]) if "expires_at" in text else None,
        on_doubt=text.get("on_doubt", "create"),
        replay=text.get("replay", ""),
        run=text.get("run", ""),
        progress=_progress_of(item),
    )


_MOMENTS = ("attempt_started_at", "first_failed_at", "finished_at")
_NUMBERS = ("version", "attempts", "failures")
_TEXTS = ("state", "reason", "message", "uid")


def _progress_changes(before: Progress | None, after: Progress) -> tuple[Item, list[str]]:
    """The attributes to set and to remove so that the item tells `after`; all of them where nothing was before."""
    sets: Item = {}
    removes: list[str] = []
    for names, form in ((_TEXTS, "S"), (_NUMBERS, "N"), (_MOMENTS, "S")):
        for name in names:
            value = getattr(after, name)
            if before is not None and getattr(before, name) == value:
                continue
            if isinstance(value, datetime):
                sets[name] = {form: stamp(value)}
            elif value or name in ("version", "state"):
                sets[name] = {form: str(value)}
            elif before is not None:
                removes.append(name)
    return sets, removes


def _progress_of(item: Item) -> Progress:
    told: dict[str, Any] = {name: item[name]["S"] for name in _TEXTS if name in item}
    told |= {name: int(item[name]["N"]) for name in _NUMBERS if name in item}
    told |= {name: moment_of(item[name]["S"]) for name in (*_MOMENTS, "due") if name in item}
    return Progress(**told)


def _outstanding_of(item: Item) -> Outstanding:
    due, pk, sk = moment_of(item["due"]["S"]), item["pk"]["S"], item["sk"]["S"]
    if sk == "head":
        return Outstanding(due, event_id=pk.removeprefix("event#"))
    _, namespace, workflow = pk.split("#", 2)
    submission = sk.removeprefix("sub#")
    kind = "cron" if submission.startswith("cron-") else "event"
    return Outstanding(due, pointer=Pointer(namespace, workflow, submission), kind=kind)


def _outstanding_key(outstanding: Outstanding) -> Item:
    if outstanding.pointer is None:
        return {"pk": {"S": f"event#{outstanding.event_id}"}, "sk": {"S": "head"}}
    pointer = outstanding.pointer
    return {
        "pk": {"S": workflow_key(pointer.namespace, pointer.workflow)},
        "sk": {"S": f"sub#{pointer.submission}"},
    }
