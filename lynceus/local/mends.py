"""moto, mended: where it loses things between threads, and where a call costs as much as everything stored.

A queue of moto loses a message that is sent while another one is deleted; a cancelled transaction puts back the
whole table, and with it what others wrote meanwhile. The local system promises what AWS promises, so both are
mended here, for the pinned version of moto.
"""

from __future__ import annotations

import copy
import time
from functools import cache
from typing import Any

from moto.core import responses
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.sqs import models as sqs_models
from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import Queue, SQSBackend

_transact_write_items = DynamoDBBackend.transact_write_items
_receive_message = SQSBackend.receive_message
_unmended_all_items = Table.all_items


def _transact(backend: Any, transact_items: list[dict[str, Any]]) -> None:
    """As moto's, rolling back the items of this transaction instead of the whole table.

    moto copies the table before each transaction and puts the copy back. `_uncopied` disarms that, and the items
    are put back here.
    """
    before = []
    for entry in transact_items:
        operation = next(iter(entry.values()))
        table = backend.tables.get(operation.get("TableName"))
        attributes = operation.get("Item") or operation.get("Key") or {}
        # A request without table or keys fails in moto's own words.
        if table is not None and all(name in attributes for name in table.table_key_attrs):
            keys = {name: attributes[name] for name in table.table_key_attrs}
            before.append((table, keys, copy.deepcopy(backend.get_item(table.name, keys))))
    try:
        _transact_write_items(backend, transact_items)
    except Exception:
        for table, keys, item in before:
            if item is None:
                if backend.get_item(table.name, keys) is not None:
                    backend.delete_item(table.name, keys)
            elif table.has_range_key:
                table.items[item.hash_key][item.range_key] = item
            else:
                table.items[item.hash_key] = item
        raise


def _all_items(table: Any) -> list[Any]:
    """As moto's, sorted by plain strings: every query sorts the whole table first."""
    if not table.has_range_key:
        items: list[Any] = _unmended_all_items(table)
        return items
    items = [item for partition in table.items.values() for item in partition.values()]
    return sorted(items, key=lambda item: (item.hash_key.value, item.range_key.value))


def _receive(backend: Any, queue_name: str, *args: Any, **more: Any) -> Any:
    """As moto's, by one receiver at a time; waiting for messages gives the lock away."""
    with backend.get_queue(queue_name)._messages_lock:
        return _receive_message(backend, queue_name, *args, **more)


def _delete(queue: Any, receipt_handle: str) -> None:
    """As moto's, without losing what is sent in between, and without copying the queue."""
    with queue._messages_lock:
        if receipt_handle in queue.deleted_messages:
            return
        for message in queue._messages:
            if message.receipt_handle == receipt_handle or message.had_receipt_handle(receipt_handle):
                queue._messages.remove(message)
                queue.pending_messages.discard(message)
                queue.deleted_messages.update(message.all_receipt_handles)
                return
        raise ReceiptHandleIsInvalid


def _uncopied(table: Any, _: Any) -> Any:
    """The table itself: here only transactions copy tables."""
    return table


def _valid(backend: Any, queue_name: str, message: Any) -> bool:
    """As moto's, without counting the whole queue to learn how long it keeps messages."""
    kept = float(backend.get_queue(queue_name).message_retention_period)
    return bool(kept + message.sent_timestamp / 1000 > time.time())


def _messages(queue: Any) -> list[Any]:
    """As moto's, with one look at the clock."""
    now = time.time() * 1000
    return [one for one in queue._messages if one.visible_at < now and one.delayed_until <= now]


def _delayed(queue: Any) -> int:
    now = time.time() * 1000
    return sum(one.delayed_until > now for one in queue._messages)


def _not_visible(queue: Any) -> int:
    now = time.time() * 1000
    return sum(one.visible_at >= now for one in queue._messages)


_MENDS: tuple[tuple[Any, str, Any], ...] = (
    (DynamoDBBackend, "transact_write_items", _transact),
    (Table, "__deepcopy__", _uncopied),
    (Table, "all_items", _all_items),
    (SQSBackend, "receive_message", _receive),
    (SQSBackend, "is_message_valid_based_on_retention_period", _valid),
    (Queue, "delete_message", _delete),
    (Queue, "messages", property(_messages)),
    (Queue, "approximate_number_of_messages_delayed", property(_delayed)),
    (Queue, "approximate_number_of_messages_not_visible", property(_not_visible)),
    # Names and methods do not change: both are worked out again for every request.
    (sqs_models, "camelcase_to_underscores", cache(camelcase_to_underscores)),
    (responses, "camelcase_to_underscores", cache(camelcase_to_underscores)),
    (responses, "method_names_from_class", cache(method_names_from_class)),
)


def apply() -> None:
    """Mend moto in this process; doing it again changes nothing."""
    for owner, name, mended in _MENDS:
        setattr(owner, name, mended)
