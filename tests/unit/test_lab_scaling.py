"""The lab's auto scaling groups: which instance leaves, and what a suspended process keeps from happening."""

from __future__ import annotations

import pytest
from moto import mock_aws

from lab.api import autoscaling, scaling


class Machine:
    """What the group reads of an instance."""

    def __init__(self, zone: str, age: int, version: int = 2, protected: bool = False) -> None:
        self.availability_zone, self.lab_version, self.protected_from_scale_in = zone, version, protected
        self.instance = type("Instance", (), {"launch_time": -age})


class Version:
    number = 2


def test_the_fullest_zone_goes_first_then_the_outdated_then_the_oldest():
    young, old, outdated, lonely = Machine("a", 1), Machine("a", 9), Machine("a", 2, version=1), Machine("b", 99)
    assert scaling.choose_to_terminate([young, old, outdated, lonely], 2, Version) == [outdated, old]


def test_a_protected_instance_stays():
    protected, other = Machine("a", 9, protected=True), Machine("b", 1)
    assert scaling.choose_to_terminate([protected, other], 2, Version) == [other]


@pytest.mark.parametrize(("minimum", "maximum", "desired"), [(3, 2, 2), (1, 3, 4), (1, 3, 0)])
def test_a_capacity_outside_of_its_bounds_is_refused(minimum, maximum, desired):
    with pytest.raises(Exception, match=r"bound|between"):
        autoscaling.check_capacity(minimum, maximum, desired)


def test_capacities_within_their_bounds_pass():
    with mock_aws():
        autoscaling.check_capacity(0, 0, 0)
        autoscaling.check_capacity(1, 3, 2)
