"""The shape that every part of the lab has: read what the AWS API holds, compare with what runs, act."""

from __future__ import annotations

import logging
import time
from urllib.error import URLError

from lab.settings import SETTINGS, Settings

# Marks the lab's own calls, so that the API's log holds everybody else's.
LAB_USER_AGENT = "espalier-lab"


class Controller:
    """One part of the lab. A subclass names itself and brings `reconcile`; killing it and starting it again loses nothing."""

    name: str
    interval_seconds: float = 1.0

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.log = logging.getLogger(self.name)

    def client(self, service: str):
        """A boto3 client of the lab's own account. Explicit keys and endpoint: the shell's AWS variables must not matter."""
        # Here, so that `lab up` beside a living lab need not wait for the import.
        import boto3
        from botocore.config import Config

        return boto3.session.Session(region_name=self.settings.region).client(
            service,
            endpoint_url=self.settings.api_url,
            aws_access_key_id="espalier-lab",
            aws_secret_access_key="espalier-lab",
            config=Config(retries={"total_max_attempts": 2}, connect_timeout=2, read_timeout=30, user_agent_extra=LAB_USER_AGENT),
        )

    def reconcile(self) -> None:
        """One pass. Idempotent; raises on failure, which is logged and tried again at the next pass."""
        raise NotImplementedError

    def run(self) -> None:
        """Reconcile for ever."""
        while True:
            try:
                self.reconcile()
            except URLError as error:
                # Also while the API starts or ends: one line is enough.
                self.log.warning("the API does not answer: %s", error.reason)
            except Exception:
                self.log.exception("pass failed, tried again in %s s", self.interval_seconds)
            time.sleep(self.interval_seconds)
