# Who may assume a CI role. The policies are compared whole: what is added to them by mistake fails here too.

mock_provider "aws" {}

variables {
  name                 = "slipway-ci-deploy-prod"
  issuer_arn           = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  environment          = "prod"
  permissions_boundary = "arn:aws:iam::123456789012:policy/slipway-boundary"
  statements           = [{ Effect = "Allow", Action = ["eks:DescribeCluster"], Resource = ["*"] }]

  github = {
    owner          = "example-org"
    owner_id       = "1000001"
    repository     = "slipway"
    repository_id  = "2000002"
    workflow       = ".github/workflows/release.yml"
    ref            = "refs/heads/main"
    legacy_subject = false
  }
}

run "only_one_job_of_one_workflow_on_one_branch_may_assume_it" {
  command = plan

  module {
    source = "./modules/ci_identity"
  }

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy) == {
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
        Action    = "sts:AssumeRoleWithWebIdentity"
        Condition = { StringEquals = {
          "token.actions.githubusercontent.com:aud"              = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:environment"      = "prod"
          "token.actions.githubusercontent.com:job_workflow_ref" = "example-org/slipway/.github/workflows/release.yml@refs/heads/main"
          "token.actions.githubusercontent.com:ref"              = "refs/heads/main"
          "token.actions.githubusercontent.com:repository_id"    = "2000002"
          "token.actions.githubusercontent.com:sub"              = "repo:example-org@1000001/slipway@2000002:environment:prod"
        } }
      }]
    }
    error_message = "The trust policy is not the exact one: ${aws_iam_role.this.assume_role_policy}"
  }

  assert {
    condition     = aws_iam_role.this.permissions_boundary == var.permissions_boundary && aws_iam_role.this.max_session_duration == 3600
    error_message = "A CI role is bounded, and a session of it lasts an hour at most."
  }
}

run "a_repository_from_before_july_2026_has_a_subject_without_ids" {
  command = plan

  module {
    source = "./modules/ci_identity"
  }

  variables {
    github = {
      owner          = "example-org"
      owner_id       = "1000001"
      repository     = "slipway"
      repository_id  = "2000002"
      workflow       = ".github/workflows/release.yml"
      ref            = "refs/heads/main"
      legacy_subject = true
    }
  }

  assert {
    condition = {
      for claim, value in jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition.StringEquals :
      trimprefix(claim, "token.actions.githubusercontent.com:") => value
      if endswith(claim, ":sub") || endswith(claim, ":repository_id")
    } == { sub = "repo:example-org/slipway:environment:prod", repository_id = "2000002" }
    error_message = "The legacy subject is wrong, or the repository's id no longer guards it."
  }
}

run "a_reading_role_takes_any_branch_but_no_other_repository" {
  command = plan

  module {
    source = "./modules/ci_identity"
  }

  variables {
    environment = "plan"
    any_branch  = true
  }

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition == { StringEquals = {
      "token.actions.githubusercontent.com:aud"           = "sts.amazonaws.com"
      "token.actions.githubusercontent.com:environment"   = "plan"
      "token.actions.githubusercontent.com:repository_id" = "2000002"
      "token.actions.githubusercontent.com:sub"           = "repo:example-org@1000001/slipway@2000002:environment:plan"
    } }
    error_message = "Only ref and job_workflow_ref may be left open."
  }
}
