locals {
  # A key may have several aliases, so the condition is of a set: any of them may be the one.
  state_key_only = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = aws_kms_alias.state.name } }

  cluster_arns = concat(
    ["${local.arn.eks}:${local.here}:cluster/${var.project}"],
    [for kind in ["access-entry", "addon", "nodegroup", "podidentityassociation"] : "${local.arn.eks}:${local.here}:${kind}/${var.project}/*"],
  )
  role_arns  = ["${local.iam}:role/${var.project}-*"]
  budget_arn = "${local.arn.budgets}::${var.account_id}:budget/${var.project}-*"
  log_group_arns = [
    for prefix in ["/${var.project}/*", "/aws/eks/${var.project}/*"] : "${local.arn.logs}:${local.here}:log-group:${prefix}"
  ]

  read_statements = [
    {
      Sid    = "Look" # these actions know no resources
      Effect = "Allow"
      Action = [
        "ec2:DescribeAddresses",
        "ec2:DescribeAddressesAttribute",
        "ec2:DescribeFlowLogs",
        "ec2:DescribeInternetGateways",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DescribeLaunchTemplates",
        "ec2:DescribeNatGateways",
        "ec2:DescribeNetworkAcls",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribePrefixLists",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcEndpoints",
        "ec2:DescribeVpcs",
        "eks:DescribeAddonVersions",
        "kms:ListAliases",
        "logs:DescribeLogGroups",
      ]
      Resource = ["*"]
    },
    {
      Sid    = "Read"
      Effect = "Allow"
      Action = [
        "budgets:ListTagsForResource",
        "budgets:ViewBudget",
        "ec2:DescribeVpcAttribute",
        "ecr:DescribeRepositories",
        "ecr:GetLifecyclePolicy",
        "ecr:ListTagsForResource",
        "eks:Describe*",
        "eks:List*",
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListAttachedRolePolicies",
        "iam:ListRolePolicies",
        "kms:DescribeKey",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:ListResourceTags",
        "logs:ListTagsForResource",
      ]
      Resource = concat(local.cluster_arns, local.role_arns, local.log_group_arns, [
        "${local.arn.ecr}:${local.here}:repository/*", "${local.arn.kms}:${local.here}:key/*", "${local.arn.ec2}:${local.here}:vpc/*", local.budget_arn,
      ])
    },
  ]

  read_state_statements = [
    {
      Sid      = "ListState"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = [local.bucket_arn]
    },
    {
      Sid      = "ReadState"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${local.bucket_arn}/${local.state_key}"]
    },
    {
      Sid       = "DecryptState"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = ["${local.arn.kms}:${local.here}:key/*"]
      Condition = local.state_key_only
    },
  ]

  apply_statements = [
    {
      Sid      = "WriteState"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject"]
      Resource = ["${local.bucket_arn}/${local.state_key}", "${local.bucket_arn}/${local.state_key}.tflock"]
    },
    {
      Sid      = "Unlock"
      Effect   = "Allow"
      Action   = ["s3:DeleteObject"]
      Resource = ["${local.bucket_arn}/${local.state_key}.tflock"]
    },
    {
      Sid       = "EncryptState"
      Effect    = "Allow"
      Action    = ["kms:GenerateDataKey"]
      Resource  = ["${local.arn.kms}:${local.here}:key/*"]
      Condition = local.state_key_only
    },
    {
      Sid    = "Network"
      Effect = "Allow"
      Action = [
        "ec2:AllocateAddress",
        "ec2:AssociateRouteTable",
        "ec2:AttachInternetGateway",
        "ec2:AuthorizeSecurityGroup*",
        "ec2:CreateFlowLogs",
        "ec2:CreateInternetGateway",
        "ec2:CreateLaunchTemplate*",
        "ec2:CreateNatGateway",
        "ec2:CreateRoute*",
        "ec2:CreateSubnet",
        "ec2:CreateTags",
        "ec2:CreateVpc*",
        "ec2:DeleteFlowLogs",
        "ec2:DeleteInternetGateway",
        "ec2:DeleteLaunchTemplate*",
        "ec2:DeleteNatGateway",
        "ec2:DeleteRoute*",
        "ec2:DeleteSubnet",
        "ec2:DeleteTags",
        "ec2:DeleteVpc*",
        "ec2:DetachInternetGateway",
        "ec2:DisassociateAddress",
        "ec2:DisassociateRouteTable",
        "ec2:ModifyLaunchTemplate",
        "ec2:ModifySecurityGroupRules",
        "ec2:ModifySubnetAttribute",
        "ec2:ModifyVpc*",
        "ec2:ReleaseAddress",
        "ec2:ReplaceRoute*",
        "ec2:RevokeSecurityGroup*",
        "ec2:RunInstances", # EKS tries the launch template with the caller's rights
      ]
      Resource = ["${local.arn.ec2}:${local.here}:*", "${local.arn.ec2}:${var.region}::image/*"]
    },
    {
      Sid      = "Cluster"
      Effect   = "Allow"
      Action   = ["eks:*"]
      Resource = local.cluster_arns
    },
    {
      Sid       = "CreateCluster"
      Effect    = "Allow"
      Action    = ["eks:CreateCluster"]
      Resource  = ["*"] # the action knows no resources
      Condition = { StringEquals = { "aws:RequestTag/project" = var.project } }
    },
    {
      Sid    = "Registry"
      Effect = "Allow"
      Action = [
        "ecr:CreateRepository",
        "ecr:DeleteLifecyclePolicy",
        "ecr:DeleteRepository",
        "ecr:PutImageScanningConfiguration",
        "ecr:PutImageTagMutability",
        "ecr:PutLifecyclePolicy",
        "ecr:TagResource",
        "ecr:UntagResource",
      ]
      Resource = ["${local.arn.ecr}:${local.here}:repository/*"]
    },
    {
      Sid    = "Logs"
      Effect = "Allow"
      Action = [
        "logs:AssociateKmsKey",
        "logs:CreateLogGroup",
        "logs:DeleteLogGroup",
        "logs:PutRetentionPolicy",
        "logs:TagResource",
        "logs:UntagResource",
      ]
      Resource = local.log_group_arns
    },
    {
      Sid       = "CreateKey"
      Effect    = "Allow"
      Action    = ["kms:CreateKey"]
      Resource  = ["*"] # the action knows no resources
      Condition = { StringEquals = { "aws:RequestTag/project" = var.project } }
    },
    {
      Sid      = "FlowLogDelivery"
      Effect   = "Allow"
      Action   = ["logs:CreateLogDelivery", "logs:DeleteLogDelivery"]
      Resource = ["*"] # the actions know no resources
    },
    {
      Sid       = "TagNewKey"
      Effect    = "Allow"
      Action    = ["kms:TagResource"]
      Resource  = ["${local.arn.kms}:${local.here}:key/*"]
      Condition = { StringEquals = { "aws:RequestTag/project" = var.project } }
    },
    {
      Sid    = "Key"
      Effect = "Allow"
      Action = [
        "kms:CreateAlias",
        "kms:CreateGrant",
        "kms:DeleteAlias",
        "kms:EnableKeyRotation",
        "kms:PutKeyPolicy",
        "kms:RetireGrant",
        "kms:ScheduleKeyDeletion",
        "kms:UntagResource",
        "kms:UpdateKeyDescription",
      ]
      Resource  = ["${local.arn.kms}:${local.here}:key/*"]
      Condition = { StringEquals = { "aws:ResourceTag/project" = var.project } }
    },
    {
      Sid      = "KeyAlias" # needed on the alias as well as on the key; an alias has no tags
      Effect   = "Allow"
      Action   = ["kms:CreateAlias", "kms:DeleteAlias"]
      Resource = ["${local.arn.kms}:${local.here}:alias/${var.project}"]
    },
    {
      Sid      = "Budget"
      Effect   = "Allow"
      Action   = ["budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource"]
      Resource = [local.budget_arn]
    },
    # A role that CI makes or changes is bounded, or the call fails. Without it, CI could make itself an administrator.
    {
      Sid       = "MakeBoundedRoles"
      Effect    = "Allow"
      Action    = ["iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"]
      Resource  = local.role_arns
      Condition = { StringEquals = { "iam:PermissionsBoundary" = local.boundary } }
    },
    {
      Sid      = "ChangeRoles"
      Effect   = "Allow"
      Action   = ["iam:DeleteRole", "iam:ListInstanceProfilesForRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole"]
      Resource = local.role_arns
    },
    {
      Sid       = "HandRolesToServices"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = ["${local.iam}:role/${var.project}-cluster", "${local.iam}:role/${var.project}-node", "${local.iam}:role/${var.project}-cni", "${local.iam}:role/${var.project}-flow-logs"]
      Condition = { StringEquals = { "iam:PassedToService" = ["eks.amazonaws.com", "ec2.amazonaws.com", "pods.eks.amazonaws.com", "vpc-flow-logs.amazonaws.com"] } }
    },
    {
      Sid      = "ServiceLinkedRoles"
      Effect   = "Allow"
      Action   = ["iam:CreateServiceLinkedRole"]
      Resource = ["${local.iam}:role/aws-service-role/*"]
      Condition = { StringEquals = { "iam:AWSServiceName" = [
        "eks.amazonaws.com", "eks-nodegroup.amazonaws.com", "autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com",
      ] } }
    },
    # The state's key has the project's tag, too.
    {
      Sid       = "NotTheStatesKey"
      Effect    = "Deny"
      Action    = ["kms:CreateAlias", "kms:CreateGrant", "kms:DeleteAlias", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"]
      Resource  = ["*"]
      Condition = local.state_key_only
    },
    # Neither its own rights, nor those of whoever plans, nor the bound itself.
    {
      Sid      = "NotItself"
      Effect   = "Deny"
      Action   = ["iam:*"]
      Resource = ["${local.iam}:role/${var.project}-ci-apply", "${local.iam}:role/${var.project}-ci-plan", local.boundary]
    },
  ]
}

# The most that a role made by CI can ever do, whatever its own policies say: the services a cluster needs, and nothing
# of IAM, of organisations or of billing.
resource "aws_iam_policy" "boundary" {
  # checkov:skip=CKV_AWS_355:A boundary grants nothing, it limits what other policies grant; expires 2027-05-21
  name = "${var.project}-boundary"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "ClusterServices"
        Effect    = "Allow"
        Action    = ["autoscaling:*", "ec2:*", "ecr:*", "eks:*", "eks-auth:*", "elasticloadbalancing:*", "kms:*", "logs:*"]
        Resource  = ["*"]
        Condition = { StringEquals = { "aws:RequestedRegion" = var.region } }
      },
      {
        Sid      = "PlanReads"
        Effect   = "Allow"
        Action   = ["budgets:ListTagsForResource", "budgets:ViewBudget", "iam:Get*", "iam:List*"]
        Resource = ["*"]
      },
      {
        Sid      = "State"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:ListBucket"]
        Resource = [local.bucket_arn, "${local.bucket_arn}/*"]
      },
    ]
  })
}
