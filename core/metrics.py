"""What is counted: one table of metrics, which whoever does something counts in.

    from toolhost import metrics
    metrics.CALLS.inc(plugin=call.tool.plugin, status=result.status)

Counting costs nothing until `enable` is called, which only a server does: until then the metrics library is not even
imported. Labels are names that are ours or an installed plugin's, rules by file and line, and words of fixed lists.
Nothing that a person or a model wrote is ever a label: each distinct value would stay in memory, and be shown to
whoever reads metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "APPROVALS",
    "AUDIT_RECORDS",
    "CALLS",
    "CALLS_RUNNING",
    "CALL_SECONDS",
    "DECISIONS",
    "LOOP_LAG",
    "RATE_LIMITED",
    "REQUESTS",
    "RUNS",
    "SANDBOX_KILLS",
    "SANDBOX_STARTS",
    "SIGN_INS",
    "TOKENS",
    "Counter",
    "Histogram",
    "count_record",
    "enable",
    "exposition",
    "gauge",
]

_CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

_SIGN_INS = {"login": "ok", "login_failed": "failed", "refresh_failed": "expired"}

_registry: Any = None
_metrics: list[_Metric] = []
_gauges: dict[str, Any] = {}


class _Metric:
    """A metric that does nothing until it is enabled."""

    def __init__(self, name: str, about: str, *labels: str) -> None:
        self.name = name
        self.about = about
        self.labels = labels
        self._real: Any = None
        _metrics.append(self)

    def _of(self, labels: dict[str, str]) -> Any:
        return self._real.labels(**labels) if self.labels else self._real

    def enable(self, registry: Any) -> None:
        """Begin to count."""
        raise NotImplementedError


class Counter(_Metric):
    """Something that happens."""

    def inc(self, amount: float = 1, /, **labels: str) -> None:
        """Count it. The labels are those of the metric, all of them."""
        if self._real is not None:
            self._of(labels).inc(amount)

    def enable(self, registry: Any) -> None:
        import prometheus_client

        self._real = prometheus_client.Counter(self.name, self.about, self.labels, registry=registry)


class Gauge(_Metric):
    """Something there is more or less of."""

    def add(self, amount: float) -> None:
        """More of it, or less."""
        if self._real is not None:
            self._real.inc(amount)

    def enable(self, registry: Any) -> None:
        import prometheus_client

        self._real = prometheus_client.Gauge(self.name, self.about, registry=registry)


class Histogram(_Metric):
    """Something that takes time."""

    def __init__(self, name: str, about: str, *labels: str, buckets: tuple[float, ...]) -> None:
        super().__init__(name, about, *labels)
        self._buckets = buckets

    def observe(self, seconds: float, **labels: str) -> None:
        """Record how long it took."""
        if self._real is not None:
            self._of(labels).observe(seconds)

    def enable(self, registry: Any) -> None:
        import prometheus_client

        self._real = prometheus_client.Histogram(
            self.name, self.about, self.labels, registry=registry, buckets=self._buckets
        )


CALLS = Counter("toolhost_calls_total", "Calls by how they ended.", "plugin", "status")
CALL_SECONDS = Histogram(
    "toolhost_call_duration_seconds", "Time from a call's intent to its outcome.", "plugin", buckets=_CALL_BUCKETS
)
CALLS_RUNNING = Gauge("toolhost_calls_running", "Calls under way.")
DECISIONS = Counter("toolhost_decisions_total", "Decisions by the rule they came from.", "outcome", "code", "rule")
APPROVALS = Counter("toolhost_approvals_total", "Questions to people by what became of them.", "decision")
SANDBOX_STARTS = Counter("toolhost_sandbox_starts_total", "Sandboxes that a call began in.", "armed")
SANDBOX_KILLS = Counter("toolhost_sandbox_kills_total", "Calls ended by a limit.", "limit")
TOKENS = Counter("toolhost_llm_tokens_total", "Tokens of language models.", "model", "direction")
RUNS = Counter("toolhost_runs_total", "Messages that a model answered, by how that ended.", "status")
RATE_LIMITED = Counter("toolhost_rate_limited_total", "Requests refused by a rate limit.", "limit")
SIGN_INS = Counter("toolhost_sign_ins_total", "Attempts to sign in.", "result")
AUDIT_RECORDS = Counter("toolhost_audit_records_total", "Records of the audit log by category.", "category")
REQUESTS = Counter("toolhost_http_requests_total", "HTTP requests answered.", "method", "status")
LOOP_LAG = Histogram(
    "toolhost_event_loop_lag_seconds", "How much later than asked for the event loop came round.", buckets=_LAG_BUCKETS
)


def enable() -> None:
    """Begin to count, in a registry of our own: what a library registers with the common one is not shown."""
    global _registry
    if _registry is None:
        import prometheus_client

        _registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=_registry)
        for metric in _metrics:
            metric.enable(_registry)


def count_record(category: str, event: str, details: Mapping[str, Any]) -> None:
    """Count what an audit record says: whatever is refused, decided, asked or carried out has one."""
    if _registry is None:
        return
    AUDIT_RECORDS.inc(category=category)
    plugin = str(details.get("tool", "")).partition(".")[0]
    if event == "tool.intent" or event == "command_blocked":
        decision = details["decision"]
        DECISIONS.inc(outcome=decision["outcome"], code=decision["code"], rule=decision["source"] or "none")
    if event == "tool.intent":
        CALLS_RUNNING.add(1)
    elif event == "tool.outcome":
        CALLS_RUNNING.add(-1)
        CALLS.inc(plugin=plugin, status=details["status"])
        CALL_SECONDS.observe(details["duration_ms"] / 1000, plugin=plugin)
    elif event == "run.ended":
        RUNS.inc(status=details["status"])
    elif event == "command_blocked":
        CALLS.inc(plugin=plugin, status="denied")
    elif event in _SIGN_INS:
        SIGN_INS.inc(result=_SIGN_INS[event])
    elif event.startswith("approval."):
        APPROVALS.inc(decision=event.removeprefix("approval."))


def gauge(name: str, about: str, read: Callable[[], float]) -> None:
    """Show a number that is read when somebody looks; of several readers the last counts."""
    if _registry is None:
        return
    import prometheus_client

    if name not in _gauges:
        _gauges[name] = prometheus_client.Gauge(name, about, registry=_registry)
    _gauges[name].set_function(read)


def exposition() -> tuple[bytes, str]:
    """Everything in the Prometheus text format, and its content type."""
    import prometheus_client

    return prometheus_client.generate_latest(_registry), prometheus_client.CONTENT_TYPE_LATEST
