# One cluster, its network, its registry, and what CI may do with them. The bootstrap stack comes first: it holds the
# state bucket, GitHub's identity provider and the roles that apply this configuration, so that CI cannot widen its own.

data "aws_partition" "current" {}

locals {
  tags = {
    project    = var.project
    owner      = var.owner
    ttl        = var.ttl
    managed_by = "terraform"
  }

  # ARNs are put together here rather than taken from resources: so the plan shows the policies in full, before
  # anything exists, where a reviewer and a test can read them.
  aws = {
    partition  = data.aws_partition.current.partition
    account_id = var.account_id
    region     = var.region
  }
  iam_arn         = "arn:${local.aws.partition}:iam::${var.account_id}"
  ecr_arn         = "arn:${local.aws.partition}:ecr:${var.region}:${var.account_id}:repository"
  cluster_arn     = "arn:${local.aws.partition}:eks:${var.region}:${var.account_id}:cluster/${var.project}"
  registry_url    = "${var.account_id}.dkr.ecr.${var.region}.${data.aws_partition.current.dns_suffix}"
  boundary_arn    = "${local.iam_arn}:policy/${var.project}-boundary"
  issuer_arn      = "${local.iam_arn}:oidc-provider/token.actions.githubusercontent.com"
  repository_arns = [for name in var.repositories : "${local.ecr_arn}/${name}"]
}

module "network" {
  source = "./modules/network"

  name                 = var.project
  aws                  = local.aws
  cidr                 = var.vpc_cidr
  zones                = var.zones
  nat_per_zone         = var.nat_per_zone
  kms_key_arn          = aws_kms_key.this.arn
  permissions_boundary = local.boundary_arn
}

module "cluster" {
  source = "./modules/cluster"

  name                 = var.project
  aws                  = local.aws
  kubernetes_version   = var.kubernetes_version
  subnet_ids           = module.network.private_subnet_ids
  api_client_cidrs     = module.network.private_subnet_cidrs
  api_public_cidrs     = var.api_public_cidrs
  nodes                = var.nodes
  addon_versions       = var.addon_versions
  deletion_protection  = var.deletion_protection
  kms_key_arn          = aws_kms_key.this.arn
  permissions_boundary = local.boundary_arn
  administrators       = var.administrators

  deployers = {
    for name, environment in var.environments :
    name => { role_arn = "${local.iam_arn}:role/${module.deploy_identity[name].role_name}", namespace = environment.namespace }
  }
}

module "registry" {
  source = "./modules/registry"

  repositories = var.repositories
  moving_tags  = ["main"]
  kms_key_arn  = aws_kms_key.this.arn
}

module "push_identity" {
  source = "./modules/ci_identity"

  name                 = "${var.project}-ci-push"
  issuer_arn           = local.issuer_arn
  github               = var.github
  environment          = var.push_environment
  permissions_boundary = local.boundary_arn

  statements = [
    {
      Sid      = "LogIn"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"] # the action knows no resources
    },
    {
      Sid    = "Push"
      Effect = "Allow"
      Action = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImages",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
      ]
      Resource = local.repository_arns
    },
  ]
}

module "deploy_identity" {
  source   = "./modules/ci_identity"
  for_each = var.environments

  name                 = "${var.project}-ci-deploy-${each.key}"
  issuer_arn           = local.issuer_arn
  github               = var.github
  environment          = each.key
  permissions_boundary = local.boundary_arn

  # What it may do inside the cluster is the access entry's business: one namespace.
  statements = [
    {
      Sid      = "FindCluster"
      Effect   = "Allow"
      Action   = ["eks:DescribeCluster"]
      Resource = [local.cluster_arn]
    },
    {
      Sid      = "LogIn"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"] # the action knows no resources
    },
    {
      Sid      = "ReadImages"
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"]
      Resource = local.repository_arns
    },
  ]
}

# One key for the cluster's secrets, the images and the logs. Who may use it is decided by IAM policies, as the first
# statement says; CloudWatch Logs is a service, and services have to be named.
resource "aws_kms_key" "this" {
  description             = "${var.project}: cluster secrets, images, logs"
  enable_key_rotation     = true
  deletion_window_in_days = 7

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "${local.iam_arn}:root" }
        Action    = ["kms:*"]
        Resource  = ["*"] # in a key policy: this key
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.region}.${data.aws_partition.current.dns_suffix}" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = ["*"]
        Condition = {
          ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.aws.partition}:logs:${var.region}:${var.account_id}:log-group:*" }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.project}"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_budgets_budget" "monthly" {
  name         = "${var.project}-monthly"
  budget_type  = "COST"
  limit_amount = tostring(var.budget.limit_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = [join("$", ["user:project", var.project])] # "$${" would be a literal brace
  }

  dynamic "notification" {
    for_each = { for step in [["ACTUAL", 50], ["ACTUAL", 80], ["ACTUAL", 100], ["FORECASTED", 100]] : join("-", step) => step }

    content {
      notification_type          = notification.value[0]
      threshold                  = notification.value[1]
      threshold_type             = "PERCENTAGE"
      comparison_operator        = "GREATER_THAN"
      subscriber_email_addresses = var.budget.emails
    }
  }
}
