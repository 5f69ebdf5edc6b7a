"""Requests, read from HAProxy's log as podman keeps it: what became of each, and how long its target took."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# Enough for a percentile.
TIMES_KEPT = 500
# ... backend/server TR/Tw/Tc/Tr/Ta status ...
LINE = re.compile(
    r"\S+ std\w+ F \S+ \[[^]]+\] \S+ (?P<backend>[^/ ]+)/(?P<server>\S+) [-\d]+/[-\d]+/[-\d]+/(?P<response>-?\d+)/\S+ (?P<status>\d+) "
)


@dataclass
class Requests:
    """Of one look: counts by target group, who gave the answer ("target", "elb") and hundreds of its status; seconds by target group."""

    counts: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, lines: Iterable[str]) -> None:
        for line in lines:
            found = LINE.match(line)
            if not found:
                continue
            group = found["backend"].removeprefix("tg_") if found["backend"].startswith("tg_") else ""
            milliseconds = int(found["response"])
            # -1: no answer of a target's was seen.
            answered = milliseconds >= 0 and not found["server"].startswith("<")
            self.counts[group, "target" if answered else "elb", int(found["status"]) // 100] += 1
            if answered and len(times := self.seconds.setdefault(group, [])) < TIMES_KEPT:
                times.append(milliseconds / 1000)

    def body(self) -> dict:
        """As the control route takes it."""
        return {"counts": [[*key, count] for key, count in self.counts.items()], "seconds": self.seconds}


class Log:
    """A container's log, read from where it ends now."""

    def __init__(self, path: Path) -> None:
        self.path, self.offset, self.rest = path, path.stat().st_size, ""

    def read(self) -> Requests:
        """What has come since the last look. Raises OSError when the container has gone."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read()
        self.offset += len(data)
        *lines, self.rest = (self.rest + data.decode(errors="replace")).split("\n")
        requests = Requests()
        requests.add(lines)
        return requests
