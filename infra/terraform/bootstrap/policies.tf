locals {
  read_statements = [{
    Sid    = "Read"
    Effect = "Allow"
    Action = [
      "budgets:ListTagsForResource",
      "budgets:ViewBudget",
      "ec2:Describe*",
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
      "kms:ListAliases",
      "kms:ListResourceTags",
      "logs:DescribeLogGroups",
      "logs:ListTagsForResource",
    ]
    Resource = ["*"]
  }]

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
      Sid      = "DecryptState"
      Effect   = "Allow"
      Action   = ["kms:Decrypt"]
      Resource = [aws_kms_key.state.arn]
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
      Sid      = "EncryptState"
      Effect   = "Allow"
      Action   = ["kms:GenerateDataKey"]
      Resource = [aws_kms_key.state.arn]
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
      Resource  = ["*"]
      Condition = { StringEquals = { "aws:RequestedRegion" = var.region } }
    },
    {
      Sid    = "Cluster"
      Effect = "Allow"
      Action = ["eks:*"]
      Resource = [for kind in ["cluster", "nodegroup", "addon", "access-entry", "podidentityassociation"] :
        kind == "cluster" ? "${local.arn.eks}:${local.here}:cluster/${var.project}" : "${local.arn.eks}:${local.here}:${kind}/${var.project}/*"
      ]
    },
    {
      Sid      = "CreateCluster"
      Effect   = "Allow"
      Action   = ["eks:CreateCluster"]
      Resource = ["${local.arn.eks}:${local.here}:cluster/${var.project}"]
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
        "logs:CreateLogDelivery",
        "logs:CreateLogGroup",
        "logs:DeleteLogDelivery",
        "logs:DeleteLogGroup",
        "logs:PutRetentionPolicy",
        "logs:TagResource",
        "logs:UntagResource",
      ]
      Resource = ["${local.arn.logs}:${local.here}:log-group:/${var.project}/*", "${local.arn.logs}:${local.here}:log-group:/aws/eks/${var.project}/*"]
    },
    {
      Sid       = "CreateKey"
      Effect    = "Allow"
      Action    = ["kms:CreateKey", "kms:TagResource"]
      Resource  = ["*"]
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
        "kms:ScheduleKeyDeletion",
        "kms:UntagResource",
        "kms:UpdateKeyDescription",
      ]
      Resource  = ["${local.arn.kms}:${local.here}:key/*", "${local.arn.kms}:${local.here}:alias/${var.project}"]
      Condition = { StringEquals = { "aws:ResourceTag/project" = var.project } }
    },
    {
      Sid      = "Budget"
      Effect   = "Allow"
      Action   = ["budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource"]
      Resource = ["arn:${data.aws_partition.current.partition}:budgets::${var.account_id}:budget/${var.project}-*"]
    },
    # A role that CI makes or changes is bounded, or the call fails. Without it, CI could make itself an administrator.
    {
      Sid       = "MakeBoundedRoles"
      Effect    = "Allow"
      Action    = ["iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"]
      Resource  = ["${local.iam}:role/${var.project}-*"]
      Condition = { StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary.arn } }
    },
    {
      Sid      = "ChangeRoles"
      Effect   = "Allow"
      Action   = ["iam:DeleteRole", "iam:ListInstanceProfilesForRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole"]
      Resource = ["${local.iam}:role/${var.project}-*"]
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
    # Neither its own rights, nor those of whoever plans, nor the bound itself.
    {
      Sid      = "NotItself"
      Effect   = "Deny"
      Action   = ["iam:*"]
      Resource = ["${local.iam}:role/${var.project}-ci-apply", "${local.iam}:role/${var.project}-ci-plan", "${local.iam}:policy/${var.project}-boundary"]
    },
  ]
}

# The most that a role made by CI can ever do, whatever its own policies say: the services a cluster needs, and nothing
# of IAM, of organisations or of billing.
resource "aws_iam_policy" "boundary" {
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
