"""What reached AWS's API between two moments: a run that claims to change nothing is asked for its calls."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.settings import SETTINGS

# status, caller, operation as lab/api/server.py writes them
LINE = re.compile(r" api: (?P<status>\d{3}|---) (?P<caller>\S+) (?P<operation>.+) \d+ ms$")
READING = re.compile(r"^[\w-]+:(?: (?:GET|HEAD|OPTIONS) |(?:Describe|Get|List|BatchGet|Lookup|Search|Simulate|Decode)\w*$)")
# How Ansible reaches an instance: a session, and a module through the bucket that is there for it.
SESSIONS = re.compile(r"^ssm:(?:Start|Terminate|Resume)Session$|^s3: (?:PUT|DELETE|POST) /[a-z0-9-]+-session-\d{12}/")
# Taken before it is known whether there is anything to deploy, and given back.
LOCK = re.compile(r"^s3: (?:PUT|DELETE) /[a-z0-9-]+-static-\d{12}/releases/[^/ ]+/lock\.json")
IGNORED = (READING, SESSIONS, LOCK)


@dataclass
class ApiLog:
    """The part of the API's log that was written since `start`."""

    offset: int

    @classmethod
    def start(cls) -> ApiLog:
        return cls(LOG.stat().st_size)

    def writes(self, status: str = "2") -> list[str]:
        """Answered operations that are no reading, no session and no lock, from the host (instances keep their own agents busy)."""
        with LOG.open("rb") as file:
            file.seek(self.offset)
            lines = file.read().decode(errors="replace").splitlines()
        matches = [
            match for match in map(LINE.search, lines) if match and match["caller"] == "127.0.0.1" and match["status"].startswith(status)
        ]
        return [match["operation"] for match in matches if not any(kind.match(match["operation"]) for kind in IGNORED)]


LOG = SETTINGS.logs / "api.log"
