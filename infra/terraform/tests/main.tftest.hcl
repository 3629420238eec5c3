# The configuration as a whole, with the example's values.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

  mock_resource "aws_eks_cluster" {
    defaults = { certificate_authority = [{ data = "Y2VydGlmaWNhdGU=" }] }
  }

  mock_data "aws_default_tags" {
    defaults = { tags = { project = "slipway" } }
  }
}

variables {
  project    = "slipway"
  account_id = "123456789012"
  owner      = "platform@example.com"
  ttl        = "2026-12-31"
  budget     = { limit_usd = 200, emails = ["platform@example.com"] }
  github     = { owner = "example-org", owner_id = "1000001", repository = "slipway", repository_id = "2000002" }
}

run "the_pushing_role_writes_images_and_nothing_else" {
  command = plan

  assert {
    condition = {
      for statement in jsondecode(module.push_identity.policy).Statement : statement.Sid => [statement.Effect, statement.Action, statement.Resource]
      } == {
      LogIn = ["Allow", ["ecr:GetAuthorizationToken"], ["*"]]
      Push = ["Allow", [
        "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
        "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
      ], ["arn:aws:ecr:eu-central-1:123456789012:repository/app"]]
    }
    error_message = "Not the exact rights: ${module.push_identity.policy}"
  }
}

run "a_deploying_role_finds_the_cluster_and_reads_images" {
  command = plan

  assert {
    condition     = keys(module.deploy_identity) == ["dev", "prod"]
    error_message = "Each environment has a deploying role of its own."
  }

  assert {
    condition = alltrue([for identity in module.deploy_identity : {
      for statement in jsondecode(identity.policy).Statement : statement.Sid => [statement.Action, statement.Resource]
      } == {
      FindCluster = [["eks:DescribeCluster"], ["arn:aws:eks:eu-central-1:123456789012:cluster/slipway"]]
      LogIn       = [["ecr:GetAuthorizationToken"], ["*"]]
      ReadImages  = [["ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"], ["arn:aws:ecr:eu-central-1:123456789012:repository/app"]]
    }])
    error_message = "Not the exact rights."
  }
}

run "the_kubeconfig_holds_no_credential" {
  command = apply # of mocks: the endpoint is known only then

  assert {
    condition     = issensitive(output.kubeconfig)
    error_message = "kubeconfig would be printed."
  }

  assert {
    condition     = nonsensitive(keys(yamldecode(output.kubeconfig).users[0].user)) == ["exec"]
    error_message = "The user of the kubeconfig has something else than a command."
  }

  assert {
    condition = join(" ", nonsensitive(yamldecode(output.kubeconfig).users[0].user.exec.args)) == (
      "eks get-token --region eu-central-1 --cluster-name slipway --output json"
    )
    error_message = "The command does not get a token for this cluster."
  }

  assert {
    condition     = output.registry_url == "123456789012.dkr.ecr.eu-central-1.amazonaws.com" && output.cluster_name == "slipway"
    error_message = "registry_url or cluster_name is wrong."
  }
}

run "the_budget_warns_at_50_80_and_100_percent_and_ahead" {
  command = plan

  assert {
    condition = toset([for n in aws_budgets_budget.monthly.notification : "${n.notification_type} ${n.threshold}"]) == toset([
      "ACTUAL 50", "ACTUAL 80", "ACTUAL 100", "FORECASTED 100",
    ])
    error_message = "A warning of the budget is missing."
  }

  assert {
    condition     = one(aws_budgets_budget.monthly.cost_filter).values == tolist(["user:project$slipway"])
    error_message = "The budget does not count by the project's tag."
  }
}

run "a_key_is_used_by_this_accounts_logs_alone" {
  command = plan

  assert {
    condition = [for s in jsondecode(aws_kms_key.this.policy).Statement : s.Condition if s.Sid == "Logs"] == [
      { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:eu-central-1:123456789012:log-group:*" } }
    ]
    error_message = "CloudWatch Logs may use the key for others' logs."
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key is not rotated."
  }
}

run "guardrails_refuse" {
  command = plan

  variables {
    zones              = ["eu-central-1a"]
    ttl                = "next week"
    kubernetes_version = "1.34"
    api_public_cidrs   = ["0.0.0.0/0"]
    nodes              = { min = 2, max = 50 }
    account_id         = "1234"
    project            = "Slipway"
    vpc_cidr           = "10.0.0.0/24"
    budget             = { limit_usd = 0, emails = [] }
    environments       = { dev = { namespace = "app" }, prod = { namespace = "app" } }
    github             = { owner = "example-org", owner_id = "example-org", repository = "slipway", repository_id = "slipway" }
  }

  expect_failures = [
    var.zones, var.ttl, var.kubernetes_version, var.api_public_cidrs, var.nodes, var.account_id, var.project, var.vpc_cidr,
    var.budget, var.environments, var.github,
  ]
}
