"""RDS's Performance Insights: whether it is on, which moto forgets. Nothing is recorded in the lab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.rds.models import DBInstance, RDSBackend

# Free of charge, and what RDS takes when nothing is said.
DEFAULT_DAYS = 7


def remember(database: DBInstance, asked: dict[str, Any]) -> DBInstance:
    if asked.get("enable_performance_insights") is not None:
        database.performance_insights_enabled = bool(asked["enable_performance_insights"])
    if database.performance_insights_enabled:
        days = asked.get("performance_insights_retention_period") or database.performance_insights_retention_period or DEFAULT_DAYS
        database.performance_insights_retention_period = days
        database.performance_insights_kms_key_id = asked.get("performance_insights_kms_key_id") or database.performance_insights_kms_key_id
    else:
        database.performance_insights_retention_period = database.performance_insights_kms_key_id = None
    return database


def install() -> None:
    create: Callable = RDSBackend.create_db_instance
    modify: Callable = RDSBackend.modify_db_instance
    # Of instances that are restored, and of those from before.
    DBInstance.performance_insights_enabled = False
    DBInstance.performance_insights_retention_period = None
    DBInstance.performance_insights_kms_key_id = None

    def create_db_instance(self: RDSBackend, db_kwargs: dict[str, Any]) -> DBInstance:
        asked = dict(db_kwargs)
        return remember(create(self, db_kwargs), asked)

    def modify_db_instance(self: RDSBackend, identifier: str, db_kwargs: dict[str, Any]) -> DBInstance:
        asked = dict(db_kwargs)
        return remember(modify(self, identifier, db_kwargs), asked)

    RDSBackend.create_db_instance = create_db_instance
    RDSBackend.modify_db_instance = modify_db_instance
