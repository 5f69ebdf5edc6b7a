"""Rights that change something and that test_rights.py does not need: each with the reason why the role has it all the same."""

from __future__ import annotations

# What only reads is not asked for a reason: it depends on what there is.
READS = ("BatchCheck", "BatchGet", "Describe", "Filter", "Get", "List", "Simulate", "View")

REASONS = {
    "switched on in production only: tests/production/test_rights.py": (
        "acm:*", "budgets:*", "cloudfront:*", "cloudwatch:DeleteDashboards", "cloudwatch:PutDashboard", "ec2:CreateFlowLogs",
        "ec2:DeleteFlowLogs", "elasticloadbalancing:*WebA*", "kms:*", "logs:*LogDelivery", "logs:PutResourcePolicy",
        "rds:*DBInstanceAutomatedBackupsReplication", "rds:*DBParameterGroup", "route53:*", "ssm:*Document*", "wafv2:*",
    ),
    "part of another sequence: births, deploys, faults, restore, encryption, upgrades of a cluster": (
        "autoscaling:CancelInstanceRefresh", "autoscaling:CompleteLifecycleAction", "autoscaling:EnterStandby", "autoscaling:ExitStandby",
        "autoscaling:ResumeProcesses", "autoscaling:RollbackInstanceRefresh", "autoscaling:StartInstanceRefresh",
        "autoscaling:SuspendProcesses", "autoscaling:TerminateInstanceInAutoScalingGroup", "ec2:CreateImage", "ec2:DeleteSnapshot",
        "ec2:DeregisterImage", "ec2:StartInstances", "ec2:StopInstances", "eks:AssociateEncryptionConfig", "eks:UpdateClusterConfig",
        "eks:UpdateClusterVersion", "eks:UpdateNodegroupVersion", "rds:CopyDBSnapshot", "rds:DeleteDBSnapshot", "rds:RebootDBInstance",
        "rds:RestoreDBInstance*", "rds:StartDBInstance", "secretsmanager:RestoreSecret", "ssm:ResumeSession",
    ),
    "of a change that an operator may make, and that no sequence makes": (
        "*:Remove*", "*:Untag*", "autoscaling:AttachLoadBalancerTargetGroups", "autoscaling:CreateOrUpdateTags",
        "autoscaling:DeleteLifecycleHook", "autoscaling:DeleteNotificationConfiguration", "autoscaling:DeletePolicy",
        "autoscaling:DeleteTags", "autoscaling:DetachLoadBalancerTargetGroups", "autoscaling:DisableMetricsCollection",
        "autoscaling:SetDesiredCapacity", "ec2:DeleteRoute", "ec2:DeleteTags", "ec2:DisassociateAddress", "ec2:DisassociateRouteTable",
        "ec2:ModifyInstance*", "ec2:ModifyLaunchTemplate", "ec2:ModifySubnetAttribute", "ec2:ModifyVpcEndpoint", "ec2:ReplaceRoute*",
        "ec2:RevokeSecurityGroup*", "ec2:UpdateSecurityGroupRuleDescriptions*", "ecr:DeleteLifecyclePolicy", "ecr:PutImage*",
        "eks:*AccessEntry", "eks:*AccessPolicy", "eks:DeleteAddon", "eks:UpdateAddon", "eks:UpdateNodegroupConfig",
        "eks:UpdatePodIdentityAssociation", "elasticloadbalancing:*Rule", "elasticloadbalancing:Modify*", "elasticloadbalancing:SetS*",
        "iam:*OpenIDConnectProvider*", "iam:DeleteRolePolicy", "iam:PutRolePermissionsBoundary", "iam:Tag*", "iam:Update*",
        "logs:DeleteRetentionPolicy", "rds:AddTagsToResource", "rds:ModifyDBSubnetGroup", "s3:DeleteBucketPolicy", "s3:PutObjectTagging",
        "secretsmanager:UpdateSecret", "sns:SetSubscriptionAttributes", "sns:SetTopicAttributes", "sns:Unsubscribe",
    ),
    "of what a run or a controller that was cut short leaves behind": (
        "ec2:DeleteLaunchTemplateVersions", "ec2:DeleteNetworkInterface", "ec2:DeleteVolume", "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:RegisterTargets", "s3:AbortMultipartUpload", "ssm:TerminateSession",
    ),
    "asked by AWS behind another call, or by the tools that push an image and open the cluster": (
        "*:TagResource", "ecr:BatchDeleteImage", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart",
        "eks:AccessKubernetesApi", "logs:TagLogGroup", "s3:PutBucketOwnershipControls",
    ),
}  # fmt: skip


def changes(right: str) -> bool:
    return not right.partition(":")[2].startswith(READS)
