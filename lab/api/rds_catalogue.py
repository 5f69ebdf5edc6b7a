"""What RDS sells, as far as the lab can deliver it: one version of one engine, in the classes that the suite's users choose from."""

from __future__ import annotations

from typing import Any

from moto.rds.exceptions import InvalidParameterCombination

from lab import postgresql

ENGINE = "postgres"
VERSIONS = (postgresql.VERSION,)
LICENSE_MODEL = "postgresql-license"
# Those of https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.DBInstanceClass.Support.html that a small site takes.
INSTANCE_CLASSES = (
    *(f"db.{family}.{size}" for family in ("t3", "t4g") for size in ("micro", "small", "medium", "large", "xlarge", "2xlarge")),
    *(
        f"db.{family}.{size}"
        for family in ("m5", "m6g", "m6i", "m7g", "r5", "r6g", "r6i", "r7g")
        for size in ("large", "xlarge", "2xlarge")
    ),
)
# Type, smallest and largest size in GiB: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html
STORAGE = (("gp2", 20, 65536), ("gp3", 20, 65536), ("io1", 100, 65536))
ZONES = ("a", "b", "c", "d", "f")


def resolve_version(engine: str, version: str | None) -> str:
    """The full version that RDS would take for this request: a major version alone means its newest minor one.

    Raises InvalidParameterCombination, in RDS's words, when there is none.
    """
    matching = [known for known in VERSIONS if engine == ENGINE and (not version or known == version or known.split(".")[0] == version)]
    if not matching:
        raise InvalidParameterCombination(f"Cannot find version {version} for {engine}")
    return matching[-1]


def engine_versions(engine: str | None, version: str | None) -> list[dict[str, Any]]:
    """Records of DescribeDBEngineVersions; none for a version that cannot be had."""
    if engine not in (None, ENGINE):
        return []
    return [
        {
            "Engine": ENGINE,
            "MajorEngineVersion": known.split(".")[0],
            "EngineVersion": known,
            "DBParameterGroupFamily": f"{ENGINE}{known.split('.')[0]}",
            "DBEngineDescription": "PostgreSQL",
            "DBEngineVersionDescription": f"PostgreSQL {known}-R1",
            "ValidUpgradeTarget": [],
            "ExportableLogTypes": ["postgresql", "upgrade"],
            "SupportsLogExportsToCloudwatchLogs": True,
            "SupportsReadReplica": False,
            "Status": "available",
        }
        for known in VERSIONS
        if not version or known == version or known.split(".")[0] == version
    ]


def orderable_options(wanted: dict[str, str | None], region: str) -> list[dict[str, Any]]:
    """Records of DescribeOrderableDBInstanceOptions that agree with every wanted field that is not None."""
    options = (
        {
            "Engine": ENGINE,
            "EngineVersion": version,
            "DBInstanceClass": instance_class,
            "LicenseModel": LICENSE_MODEL,
            "AvailabilityZones": [{"Name": region + zone} for zone in ZONES],
            "MultiAZCapable": True,
            "ReadReplicaCapable": False,
            "Vpc": True,
            "SupportsStorageEncryption": True,
            "StorageType": storage_type,
            "SupportsIops": storage_type != "gp2",
            "SupportsEnhancedMonitoring": True,
            "SupportsIAMDatabaseAuthentication": True,
            "SupportsPerformanceInsights": True,
            "MinStorageSize": smallest,
            "MaxStorageSize": largest,
            "SupportsStorageAutoscaling": True,
            "SupportedNetworkTypes": ["IPV4"],
        }
        for version in VERSIONS
        for instance_class in INSTANCE_CLASSES
        for storage_type, smallest, largest in STORAGE
    )
    return [option for option in options if all(value is None or option[name] == value for name, value in wanted.items())]
