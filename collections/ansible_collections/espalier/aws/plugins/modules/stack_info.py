#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: stack_info
version_added: 0.1.0
short_description: Find everything that one environment owns in an AWS account
description:
  - Reads ids, addresses and ARNs of one environment's resources, all services in parallel, and changes nothing.
  - The account is the only state, so this is how a play learns what earlier plays and runs made.
  - Resources are found by their tags C(Project) and C(Environment), which AWS filters by where it can.
    Where it cannot (load balancer, target group, web ACL, database, buckets, instance profile, topic, alarms, repository), they are found
    by the names that the suite gives them, which start with C({environment}-{project}-).
  - What does not exist yet is V(null), or an empty list or dictionary. An empty account is no error.
  - Resources that are being deleted are not listed, except secrets (their O(ignore:deleted_date) says so) and the database.
author:
  - Contributors to the Espalier project
options:
  project:
    description:
      - Value of the tag C(Project).
    type: str
    required: true
  environment:
    description:
      - Value of the tag C(Environment).
    type: str
    required: true
  partial:
    description:
      - Leave out what may not or cannot be looked at, and list it in RV(unknown), instead of failing.
      - For plays that only tell. One that makes what is missing must know what there is.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: Look up what exists
  espalier.aws.stack_info:
    project: django
    environment: staging
  register: stack

- name: Show the load balancer's address
  ansible.builtin.debug:
    msg: "{{ stack.load_balancer.dns_name | default('none yet') }}"
"""

RETURN = r"""
account_id:
  description: Account that the credentials belong to.
  returned: always
  type: str
  sample: "123456789012"
unknown:
  description: With O(partial), what could not be looked at, with the reason. Its keys are left out of the answer.
  returned: always
  type: dict
  sample: {buckets: "ClientError: An error occurred (403) when calling the HeadBucket operation: Forbidden"}
region:
  description: Region that was looked at.
  returned: always
  type: str
  sample: us-east-1
vpc:
  description: The VPC (C(id), C(cidr_block)), or null.
  returned: always
  type: dict
  sample: {id: vpc-0a1, cidr_block: 10.0.0.0/16}
internet_gateway_id:
  description: The internet gateway, or null.
  returned: always
  type: str
  sample: igw-0a1
subnets:
  description: Subnets of the tiers C(public), C(private) and C(database) by tag C(Tier), sorted by availability zone.
  returned: always
  type: dict
  sample: {public: [{id: subnet-0a1, cidr_block: 10.0.1.0/24, availability_zone: us-east-1a}], private: [], database: []}
nat_gateways:
  description: NAT gateways that are pending or available, sorted by availability zone.
  returned: always
  type: list
  elements: dict
  sample:
    - id: nat-0a1
      subnet_id: subnet-0a1
      state: available
      allocation_id: eipalloc-0a1
      public_ip: 192.0.2.1
      availability_zone: us-east-1a
route_tables:
  description: Route tables with the values of their tags C(Tier) and C(AvailabilityZone), null where a table has no such tag.
  returned: always
  type: list
  elements: dict
  sample: [{id: rtb-0a1, tier: private, availability_zone: us-east-1a}]
security_groups:
  description: Id, or null, of the security group of each role by tag C(Role).
  returned: always
  type: dict
  sample: {load_balancer: sg-0a1, app: sg-0a2, database: sg-0a3, bastion: sg-0a4, endpoints: null}
vpc_endpoints:
  description: Id, or null, of the interface endpoint of each service.
  returned: always
  type: dict
  sample: {ssm: vpce-0a1, ssmmessages: vpce-0a2, ec2messages: vpce-0a3}
flow_log_ids:
  description: Flow logs of the VPC.
  returned: always
  type: list
  elements: str
  sample: [fl-0a1]
web_acl:
  description: Web ACL of AWS WAF (C(arn), C(name)), or null.
  returned: always
  type: dict
  sample: {arn: "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/lab-django-waf/473e64fd", name: lab-django-waf}
buckets:
  description: Name, or null, of the buckets for static files and for Session Manager's file transfer.
  returned: always
  type: dict
  sample: {static: lab-django-static-123456789012, session: null}
secrets:
  description: By name, the ARN, and the date of deletion (ISO 8601) where a secret is in its recovery window. Never a value.
  returned: always
  type: dict
  sample: {django-secret-key: {arn: "arn:aws:secretsmanager:us-east-1:123456789012:secret:django-secret-key-AbCdEf", deleted_date: null}}
database:
  description: The DB instance in whatever status, or null. C(address) and C(port) are null until AWS has assigned them.
    C(name) is the first database in it, null where none was asked for.
  returned: always
  type: dict
  sample:
    identifier: lab-django-postgres
    arn: arn:aws:rds:us-east-1:123456789012:db:lab-django-postgres
    status: available
    address: lab-django-postgres.abc.us-east-1.rds.amazonaws.com
    port: 5432
    name: postgresDB
    engine_version: "16.4"
    encrypted: false
    multi_az: true
    backup_regions: []
database_subnet_group:
  description: Name of the DB subnet group, or null.
  returned: always
  type: str
  sample: lab-django-postgres
parameters:
  description: ARN of each SSM parameter by name. Never a value.
  returned: always
  type: dict
  sample: {/DjangoApp/rds_endpoint: "arn:aws:ssm:us-east-1:123456789012:parameter/DjangoApp/rds_endpoint"}
load_balancer:
  description: The application load balancer, or null. C(access_logs) is the bucket and prefix that they go to, null where there are none.
  returned: always
  type: dict
  sample:
    arn: arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/lab-django-alb/50dc6c495c0c9188
    name: lab-django-alb
    dns_name: lab-django-alb-1.us-east-1.elb.amazonaws.com
    zone_id: Z35SXDOTRQ7X7K
    state: active
    drop_invalid_headers: true
    access_logs: {bucket: lab-django-static-123456789012, prefix: logs/load-balancer}
listeners:
  description: Listeners of the load balancer, sorted by port. C(certificate_arn) and C(ssl_policy) are null where there is no TLS.
  returned: always
  type: list
  elements: dict
  sample:
    - arn: arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/lab-django-alb/50d/f2f
      port: 443
      protocol: HTTPS
      certificate_arn: arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d
      ssl_policy: ELBSecurityPolicy-TLS13-1-2-2021-06
target_group:
  description: The target group with the health of its targets, or null.
  returned: always
  type: dict
  sample:
    arn: arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/lab-django-tg/73e2d6bc24d8a067
    name: lab-django-tg
    targets: [{id: i-0a1, port: 80, state: unhealthy, reason: Target.Timeout, description: Request timed out}]
autoscaling_group:
  description: The auto scaling group, or null.
  returned: always
  type: dict
  sample:
    name: lab-django-asg
    min_size: 1
    max_size: 3
    desired_capacity: 2
    instances: [{id: i-0a1, lifecycle_state: InService, health_status: Healthy, availability_zone: us-east-1a}]
    suspended_processes: []
    launch_template: {id: lt-0a1, name: lab-django-lt, version: $Latest}
launch_template:
  description: The launch template and its newest version's image, or null.
  returned: always
  type: dict
  sample: {id: lt-0a1, name: lab-django-lt, latest_version: 3, image_id: ami-0a1}
bastion:
  description: The bastion, running or stopped, or null.
  returned: always
  type: dict
  sample: {instance_id: i-0a9, state: running, private_ip: 10.0.1.10}
running_app_ids:
  description: The application's instances that run or are about to. An auto scaling group may count others that are gone.
  returned: always
  type: list
  elements: str
  sample: [i-0a1, i-0a2]
instance_profile:
  description: Instance profile of the machines, or null.
  returned: always
  type: dict
  sample: {arn: "arn:aws:iam::123456789012:instance-profile/lab-django-instance-role", name: lab-django-instance-role}
topic_arn:
  description: SNS topic of the alarms, or null.
  returned: always
  type: str
  sample: arn:aws:sns:us-east-1:123456789012:lab-django-alarms
alarms:
  description: Names of the CloudWatch alarms.
  returned: always
  type: list
  elements: str
  sample: [lab-django-cpu-high]
log_groups:
  description: Names of the CloudWatch log groups that carry the environment's tags.
  returned: always
  type: list
  elements: str
  sample: [/aws/ec2/django-app]
cluster:
  description: The EKS cluster in whatever status, or null. C(endpoint), C(certificate_authority) (in base 64) and C(oidc_issuer) are null
    until its control plane is there. C(security_group_id) is the group that EKS made for the control plane and the nodes.
    C(encrypted) says whether secrets are encrypted with a key of the account.
  returned: always
  type: dict
  sample:
    name: django-app
    arn: arn:aws:eks:us-east-1:123456789012:cluster/django-app
    status: ACTIVE
    version: "1.35"
    endpoint: https://0a1b2c.gr7.us-east-1.eks.amazonaws.com
    certificate_authority: LS0tLS1CRUdJTi...
    security_group_id: sg-0a5
    oidc_issuer: https://oidc.eks.us-east-1.amazonaws.com/id/0A1B2C
    role_arn: arn:aws:iam::123456789012:role/lab-django-cluster-role
    encrypted: false
node_group:
  description: The cluster's managed node group, the newest where there are several, or null.
  returned: always
  type: dict
  sample:
    name: django-workers
    arn: arn:aws:eks:us-east-1:123456789012:nodegroup/django-app/django-workers/0a1
    status: ACTIVE
    version: "1.35"
    min_size: 1
    max_size: 2
    desired_size: 2
repository:
  description: The ECR repository of the application's image, or null.
  returned: always
  type: dict
  sample:
    name: lab-django-app
    arn: arn:aws:ecr:us-east-1:123456789012:repository/lab-django-app
    uri: 123456789012.dkr.ecr.us-east-1.amazonaws.com/lab-django-app
"""

from concurrent.futures import ThreadPoolExecutor

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # AnsibleAWSModule reports the missing library
    pass

from ansible_collections.amazon.aws.plugins.module_utils.botocore import get_aws_connection_info
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils import stack
from ansible_collections.espalier.aws.plugins.module_utils.clients import settled


def connect(module):
    """A function that gives the client of a service, and the region. One session: reading the SDK's data anew per client is slow."""
    region, endpoint_url, options = get_aws_connection_info(module)
    config = Config(max_pool_connections=len(stack.READERS), retries={"mode": "standard", "total_max_attempts": 8})
    config = config.merge(options.pop("aws_config", None) or Config())
    session = boto3.session.Session(
        **{key: options.pop(key, None) for key in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "profile_name")},
        region_name=region,
    )
    common = {"region_name": region, "endpoint_url": endpoint_url, "config": config, **options}
    # A session is not safe across threads, its clients are: make them all here.
    clients = {service: session.client(service, **common) for service in ("sts", *stack.SERVICES)}
    return clients.__getitem__, region


def gather(clients, scope, partial):
    with ThreadPoolExecutor(max_workers=len(stack.READERS)) as pool:
        answers = {name: pool.submit(reader, clients, scope) for name, reader in stack.named(stack.READERS).items()}
    known, unknown = settled(answers) if partial else ({name: answer.result() for name, answer in answers.items()}, {})
    result = {"account_id": scope.account_id, "region": scope.region, "unknown": unknown}
    for answer in known.values():
        result.update(answer)
    return result


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "environment": {"type": "str", "required": True},
            "partial": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        clients, region = connect(module)
        scope = stack.scope_of(clients("sts"), module.params["project"], module.params["environment"], region)
        result = gather(clients, scope, module.params["partial"])
    except stack.AmbiguousStackError as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Unable to look up the environment's resources")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
