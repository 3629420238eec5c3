# A role that one job of one workflow of one repository may assume, for as long as the job runs.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

locals {
  claim = "token.actions.githubusercontent.com"

  repository = var.github.legacy_subject ? "${var.github.owner}/${var.github.repository}" : (
    "${var.github.owner}@${var.github.owner_id}/${var.github.repository}@${var.github.repository_id}"
  )

  always = {
    "${local.claim}:aud"           = "sts.amazonaws.com"
    "${local.claim}:sub"           = "repo:${local.repository}:environment:${var.environment}"
    "${local.claim}:repository_id" = var.github.repository_id
    "${local.claim}:environment"   = var.environment
  }

  # With an environment, the subject says nothing of the branch: it has to be asked for by itself.
  from_branch = {
    "${local.claim}:ref"              = var.github.ref
    "${local.claim}:job_workflow_ref" = "${var.github.owner}/${var.github.repository}/${var.github.workflow}@${var.github.ref}"
  }
}

resource "aws_iam_role" "this" {
  # checkov:skip=CKV_AWS_393:Its pattern refuses the @ID in subjects, and so the only form that new repositories issue; tests/ci_identity.tftest.hcl is stricter; expires 2027-05-21
  name                 = var.name
  max_session_duration = 3600
  permissions_boundary = var.permissions_boundary

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = var.issuer_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      # Exact values only: no StringLike, and no ForAllValues, which is true of a claim that is missing.
      Condition = { StringEquals = merge(local.always, var.any_branch ? {} : local.from_branch) }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name   = "ci"
  role   = aws_iam_role.this.name
  policy = jsonencode({ Version = "2012-10-17", Statement = var.statements })
}
