mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  project    = "slipway"
  account_id = "123456789012"
  owner      = "platform@example.com"
  github     = { owner = "example-org", owner_id = "1000001", repository = "slipway", repository_id = "2000002" }
}

run "whoever_applies_cannot_change_its_own_rights_or_the_bound" {
  command = plan

  assert {
    condition = [for s in jsondecode(module.apply_identity.policy).Statement : [s.Action, s.Resource] if s.Sid == "NotItself" && s.Effect == "Deny"] == [
      [["iam:*"], [
        "arn:aws:iam::123456789012:role/slipway-ci-apply",
        "arn:aws:iam::123456789012:role/slipway-ci-plan",
        "arn:aws:iam::123456789012:policy/slipway-boundary",
      ]],
    ]
    error_message = "CI can change the rights of CI."
  }

  assert {
    condition = [for s in jsondecode(module.apply_identity.policy).Statement : [s.Effect, s.Condition] if s.Sid == "NotTheStatesKey"] == [
      ["Deny", { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/slipway-state" } }],
    ]
    error_message = "CI can lock everybody out of the state."
  }
}

run "a_role_can_only_be_made_or_given_rights_inside_the_bound" {
  command = plan

  assert {
    condition = alltrue([
      for s in jsondecode(module.apply_identity.policy).Statement :
      try(s.Condition.StringEquals["iam:PermissionsBoundary"], "") == "arn:aws:iam::123456789012:policy/slipway-boundary"
      if s.Effect == "Allow" && length(setintersection(s.Action, ["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"])) > 0
    ])
    error_message = "A role without the boundary could be made, or given rights."
  }

  assert {
    condition = !anytrue(flatten([
      for s in jsondecode(module.apply_identity.policy).Statement :
      [for action in s.Action : contains(["*", "iam:*", "iam:DeleteRolePermissionsBoundary", "iam:CreatePolicyVersion", "iam:CreateUser", "iam:CreateAccessKey"], action)]
      if s.Effect == "Allow"
    ]))
    error_message = "There is a way around the boundary."
  }
}

run "whoever_plans_changes_nothing" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for s in jsondecode(module.plan_identity.policy).Statement :
      [for action in s.Action : can(regex("^(kms:Decrypt|[a-z0-9]+:(Describe|Get|List|View)[A-Za-z]*[*]?)$", action))]
    ]))
    error_message = "The planning role, which pull requests use, may do more than read."
  }
}

run "state_is_versioned_encrypted_and_never_public" {
  command = plan

  assert {
    condition = (
      aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled" &&
      one(one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" &&
      aws_s3_bucket_public_access_block.state.block_public_acls &&
      aws_s3_bucket_public_access_block.state.block_public_policy &&
      aws_s3_bucket_public_access_block.state.ignore_public_acls &&
      aws_s3_bucket_public_access_block.state.restrict_public_buckets
    )
    error_message = "The state bucket is not versioned, not encrypted with a key of ours, or may become public."
  }

  assert {
    condition     = aws_iam_openid_connect_provider.github.client_id_list == toset(["sts.amazonaws.com"])
    error_message = "Tokens made out to somebody else are accepted."
  }
}
