# What has to be there before CI can apply anything, applied once by a person: the bucket that holds state, GitHub's
# identity provider, and the roles that plan and apply. CI cannot change any of it.

data "aws_partition" "current" {}

locals {
  arn        = { for service in ["iam", "eks", "ecr", "logs", "kms"] : service => "arn:${data.aws_partition.current.partition}:${service}" }
  here       = "${var.region}:${var.account_id}"
  iam        = "${local.arn.iam}::${var.account_id}"
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
  issuer_arn           = aws_iam_openid_connect_provider.github.arn
  github               = var.github
  environment          = var.plan_environment
  any_branch           = true # a pull request's ref is its own; forks get no token at all
  permissions_boundary = aws_iam_policy.boundary.arn
  statements           = concat(local.read_statements, local.read_state_statements)
}

module "apply_identity" {
  source = "../modules/ci_identity"

  name                 = "${var.project}-ci-apply"
  issuer_arn           = aws_iam_openid_connect_provider.github.arn
  github               = var.github
  environment          = var.apply_environment
  permissions_boundary = null # it makes bounded roles, which the boundary itself forbids
  statements           = concat(local.read_statements, local.read_state_statements, local.apply_statements)
}
