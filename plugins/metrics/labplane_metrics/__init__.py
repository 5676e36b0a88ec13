"""The figures of the server for Prometheus, at /metrics."""

from labplane_metrics.plugin import Metrics

__all__ = ["Metrics"]
