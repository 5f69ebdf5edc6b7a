"""SNS's messages, kept to be read: nothing is delivered from here but to SQS queues, which moto has.

`python -m lab messages` shows them; the control route `messages` tells the last ones.
"""

from __future__ import annotations

import time
from collections import deque

from moto.sns.models import Topic

KEPT = 1000
_messages: deque[dict] = deque(maxlen=KEPT)


def messages(body: dict) -> dict:
    """The last `count` messages, the oldest first: `time` (since the epoch), `topic`, `subject`, `message`, `to` (who would get it)."""
    return {"messages": list(_messages)[-int(body.get("count", KEPT)) :]}


def install() -> None:
    """Patch moto's topics."""
    moto_publish = Topic.publish

    def publish(self, message, subject=None, **options):
        subscriptions, _ = self.sns_backend.list_subscriptions_by_topic(topic_arn=self.arn)
        to = [f"{subscription.protocol}:{subscription.endpoint}" for subscription in subscriptions]
        _messages.append({"time": time.time(), "topic": self.name, "subject": subject or "", "message": message, "to": to})
        return moto_publish(self, message, subject=subject, **options)

    Topic.publish = publish


ROUTES = {"messages": messages}
