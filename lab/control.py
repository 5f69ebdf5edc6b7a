"""How a controller reaches what AWS's API has no words for: the control routes of the lab's API process."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from lab.settings import SETTINGS, Settings

# Loopback needs no proxy, whatever the environment says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ControlError(RuntimeError):
    """The route refused or failed; the message holds its own words."""


def call(name: str, /, *, settings: Settings = SETTINGS, timeout_seconds: float = 10, **body) -> dict:
    """Call the control route `name` with `body` as JSON and return its answer.

    Raises ControlError when the route fails or does not exist, urllib.error.URLError when the API does not answer.
    """
    request = urllib.request.Request(
        f"{settings.api_url}/_lab/{name}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with _opener.open(request, timeout=timeout_seconds) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ControlError(f"{name}: {json.load(error).get('error', error.reason)}") from error
