"""Log lines and metrics on standard output, one JSON object a line; CloudWatch reads both.

A log line is an event name and fields. A metric is counted while an invocation runs and written once at its
end, in the embedded metric format, which costs no call: CloudWatch makes the metric from the line. Metrics
have the dimensions stage and namespace at most (rule 44); whatever else `within` gave stands beside them as
properties, for queries.

The guard at the end of every line is there for mistakes: a field whose name says credential or payload is never
written, nor is text that looks like a token, nor anything long.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TextIO

from chalicelib.ports import Clock

METRICS_NAMESPACE = "Lynceus"
TEXT_LIMIT = 2000  # characters of one value
LIST_LIMIT = 50  # entries of one value
DEPTH_LIMIT = 4
LINE_LIMIT = 100_000  # bytes of one line's fields; CloudWatch cuts at 1 MB, in the middle of the JSON
SAMPLES = 100  # values of one metric in one line
REDACTED = "[redacted]"

_FORBIDDEN = re.compile(
    r"token|secret|passw|authori[sz]ation|cookie|credential|signature|api_?key|private_?key|session"
    r"|body|payload|headers?$|parameters|arguments|manifest",
    re.IGNORECASE,
)
_CREDENTIAL = re.compile(
    r"\b(?:Bearer|Basic)\s+\S+|\beyJ[\w-]{6,}\.[\w-]+\.[\w-]*|k8s-aws-v1\.\S+|\bX-Amz-[\w-]+=[^&\s]+",
    re.IGNORECASE,
)


@dataclass
class _Frame:
    """What `within` gave so far, and the metrics counted in the outermost one."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, _Metric]] = field(default_factory=dict)  # namespace → name → metric


@dataclass
class _Metric:
    unit: str
    values: list[float]


class StdoutJournal:
    """The Journal port over a text stream."""

    def __init__(self, service: str, stage: str, clock: Clock, stream: TextIO | None = None) -> None:
        self._service, self._stage, self._clock = service, stage, clock
        self._stream = stream
        self._lock = threading.Lock()
        self._outside = _Frame()
        # A context of its own in each thread: the local system serves many requests at once.
        self._frame: ContextVar[_Frame] = ContextVar("frame", default=self._outside)

    def log(self, event: str, **fields: Any) -> None:
        """See `chalicelib.ports.Journal.log`."""
        self._line("INFO", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """See `chalicelib.ports.Journal.error`."""
        self._line("ERROR", event, fields)

    def count(self, name: str, value: float = 1, unit: str = "Count") -> None:
        """See `chalicelib.ports.Journal.count`; written at the end of the outermost `within`, or by `flush`.

        Counts are summed; of everything else each value is kept, so that percentiles can be made of them.
        """
        frame = self._frame.get()
        with self._lock:
            metrics = frame.metrics.setdefault(str(frame.fields.get("namespace", "")), {})
            metric = metrics.setdefault(name, _Metric(unit, []))
            if unit == "Count" and metric.values:
                metric.values[0] += value
            else:
                metric.values.append(value)

    @contextmanager
    def within(self, **fields: Any) -> Iterator[None]:
        """Add the fields to every line and metric written inside; the outermost one writes the metrics."""
        outer = self._frame.get()
        outermost = outer is self._outside
        inner = _Frame({**outer.fields, **fields}, {} if outermost else outer.metrics)
        mark = self._frame.set(inner)
        try:
            yield
        finally:
            if outermost:
                self._write_metrics(inner)
            self._frame.reset(mark)

    def flush(self) -> None:
        """Write the metrics counted so far."""
        self._write_metrics(self._frame.get())

    def _line(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        told = {**self._frame.get().fields, **fields}
        kept = {name: _guarded(name, value) for name, value in told.items()}
        size = len(json.dumps(kept))
        if size > LINE_LIMIT:
            kept = {"dropped": size}
        self._write(
            {
                **kept,
                "level": level,
                "event": event,
                "timestamp": self._clock.now().isoformat(timespec="milliseconds"),
                "service": self._service,
                "stage": self._stage,
            }
        )

    def _write_metrics(self, frame: _Frame) -> None:
        with self._lock:
            metrics = dict(frame.metrics)
            frame.metrics.clear()
        for namespace, counted in metrics.items():
            names = list(counted)
            longest = max(len(counted[name].values) for name in names)
            for start in range(0, longest, SAMPLES):
                self._write(self._metrics_line(frame, namespace, counted, start))

    def _metrics_line(
        self, frame: _Frame, namespace: str, counted: Mapping[str, _Metric], start: int
    ) -> dict[str, Any]:
        values = {name: metric.values[start : start + SAMPLES] for name, metric in counted.items()}
        values = {name: kept for name, kept in values.items() if kept}
        dimensions = [["stage"], ["stage", "namespace"]] if namespace else [["stage"]]
        properties = {
            name: _guarded(name, value) for name, value in frame.fields.items() if name not in values
        }
        return {
            **properties,
            "_aws": {
                "Timestamp": int(self._clock.now().timestamp() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": METRICS_NAMESPACE,
                        "Dimensions": dimensions,
                        "Metrics": [{"Name": name, "Unit": counted[name].unit} for name in values],
                    }
                ],
            },
            "event": "metrics",
            "service": self._service,
            "stage": self._stage,
            **({"namespace": namespace} if namespace else {}),
            **{name: kept[0] if len(kept) == 1 else kept for name, kept in values.items()},
        }

    def _write(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")) + "\n"
        stream = self._stream or sys.stdout
        with self._lock:
            stream.write(text)
            stream.flush()


def _guarded(name: str, value: Any, depth: int = 0) -> Any:
    """The value as it may be written under the name: plain JSON, bounded, and no secret."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if _FORBIDDEN.search(name):
        return REDACTED
    if isinstance(value, bytes | bytearray):
        return f"[{len(value)} bytes]"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth == DEPTH_LIMIT:
            return f"[{len(value)} entries]"
        if isinstance(value, Mapping):
            kept = islice(value.items(), LIST_LIMIT)
            return {str(key)[:TEXT_LIMIT]: _guarded(str(key), inner, depth + 1) for key, inner in kept}
        return [_guarded(name, inner, depth + 1) for inner in islice(value, LIST_LIMIT)]
    # Cut first: a pattern over a long text takes its time. What is cut off may not show half a token.
    text = str(value)[: TEXT_LIMIT * 2]
    return _CREDENTIAL.sub(REDACTED, text)[:TEXT_LIMIT]
