"""What was measured, as CloudWatch keeps it for alarms: values by metric and minute. Each `tick` ends one of AWS's minutes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

# Minutes that are kept: more than any alarm of the suite looks back.
KEPT = 180
Key = tuple[str, str, frozenset[tuple[str, str]]]


class Series:
    def __init__(self) -> None:
        self.minute = 0
        self._values: dict[Key, deque[tuple[int, list[float]]]] = {}

    def record(self, namespace: str, name: str, dimensions: Mapping[str, str], values: Iterable[float]) -> None:
        """Values of the minute that `tick` will end."""
        kept = self._values.setdefault((namespace, name, frozenset(dimensions.items())), deque(maxlen=KEPT))
        if kept and kept[-1][0] == self.minute:
            kept[-1][1].extend(values)
        else:
            kept.append((self.minute, list(values)))

    def tick(self) -> None:
        """The minute is over: what is recorded from now on belongs to the next."""
        self.minute += 1
        for key in [key for key, kept in self._values.items() if kept[-1][0] < self.minute - KEPT]:
            del self._values[key]

    def points(
        self, namespace: str, name: str, dimensions: Mapping[str, str], period: int, count: int, statistic: str
    ) -> list[float | None]:
        """The last `count` periods of `period` seconds, the newest first; None where nothing was measured."""
        minutes = max(1, round(period / 60))
        kept = self._values.get((namespace, name, frozenset(dimensions.items())), ())
        found: list[float | None] = []
        for number in range(count):
            newest = self.minute - 1 - number * minutes
            values = [value for minute, measured in kept if newest - minutes < minute <= newest for value in measured]
            found.append(summarize(values, statistic))
        return found


def summarize(values: list[float], statistic: str) -> float | None:
    """AWS's statistics, percentiles (p99, p99.9) among them."""
    if not values:
        return None
    if statistic.startswith("p"):
        ordered = sorted(values)
        return ordered[min(len(ordered) - 1, math.ceil(float(statistic[1:]) / 100 * len(ordered)) - 1)]
    of = {"Average": lambda: sum(values) / len(values), "Sum": lambda: sum(values), "SampleCount": lambda: float(len(values))}
    return (of | {"Minimum": lambda: min(values), "Maximum": lambda: max(values)})[statistic]()
