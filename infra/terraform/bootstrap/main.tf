# What has to be there before CI can apply anything, applied once by a person: the bucket that holds state, GitHub's
# identity provider, and the roles that plan and apply. CI cannot change any of it.

data "aws_partition" "current" {}

# As in the cluster's configuration, ARNs are put together rather than taken from resources, so that the plan of a role
# shows its rights.
locals {
  arn        = { for service in ["budgets", "ec2", "ecr", "eks", "iam", "kms", "logs"] : service => "arn:${data.aws_partition.current.partition}:${service}" }
  here       = "${var.region}:${var.account_id}"
  iam        = "${local.arn.iam}::${var.account_id}"
  boundary   = "${local.iam}:policy/${var.project}-boundary"
  issuer     = "${local.iam}:oidc-provider/token.actions.githubusercontent.com"
  bucket     = "${var.project}-state-${var.account_id}"
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${local.bucket}"
  state_key  = "cluster/terraform.tfstate" # as in ../versions.tf
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

module "plan_identity" {
  source = "../modules/ci_identity"

  name                 = "${var.project}-ci-plan"
  issuer_arn           = local.issuer
  github               = var.github
  environment          = var.plan_environment
  any_branch           = true # a pull request's ref is its own; forks get no token at all
  permissions_boundary = local.boundary
  statements           = concat(local.read_statements, local.read_state_statements)
  depends_on           = [aws_iam_openid_connect_provider.github, aws_iam_policy.boundary]
}

module "apply_identity" {
  source = "../modules/ci_identity"

  name                 = "${var.project}-ci-apply"
  issuer_arn           = local.issuer
  github               = var.github
  environment          = var.apply_environment
  permissions_boundary = null # it makes bounded roles, which the boundary itself forbids
  statements           = concat(local.read_statements, local.read_state_statements, local.apply_statements)
  depends_on           = [aws_iam_openid_connect_provider.github, aws_iam_policy.boundary]
}
