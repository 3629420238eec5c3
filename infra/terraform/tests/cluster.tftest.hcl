mock_provider "aws" {
  mock_data "aws_default_tags" {
    defaults = { tags = { project = "slipway", ttl = "2026-12-31" } }
  }
}

variables {
  name                 = "slipway"
  aws                  = { partition = "aws", account_id = "123456789012", region = "eu-central-1" }
  kubernetes_version   = "1.36"
  subnet_ids           = ["subnet-a", "subnet-b"]
  api_client_cidrs     = { eu-central-1a = "10.20.0.0/20", eu-central-1b = "10.20.16.0/20" }
  api_public_cidrs     = []
  nodes                = { instance_types = ["t3.medium"], min = 2, max = 4 }
  addon_versions       = {}
  deletion_protection  = true
  kms_key_arn          = "arn:aws:kms:eu-central-1:123456789012:key/example"
  permissions_boundary = "arn:aws:iam::123456789012:policy/slipway-boundary"
  administrators       = { platform = "arn:aws:iam::123456789012:role/platform" }
  deployers            = { dev = { role_arn = "arn:aws:iam::123456789012:role/slipway-ci-deploy-dev", namespace = "app-dev" } }
}

run "the_api_is_private_and_creating_the_cluster_gives_no_rights" {
  command = plan

  module {
    source = "./modules/cluster"
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "The API can be reached from outside the VPC."
  }

  assert {
    condition = (
      aws_eks_cluster.this.access_config[0].authentication_mode == "API" &&
      !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    )
    error_message = "There is a way into the cluster beside access entries."
  }

  assert {
    condition     = aws_eks_cluster.this.upgrade_policy[0].support_type == "STANDARD" && aws_eks_cluster.this.deletion_protection
    error_message = "Extended support would be billed, or the cluster can be deleted."
  }
}

run "secrets_and_logs_are_encrypted_with_the_project_key" {
  command = plan

  module {
    source = "./modules/cluster"
  }

  assert {
    condition = (
      aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"]) &&
      aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == var.kms_key_arn &&
      aws_cloudwatch_log_group.cluster.kms_key_id == var.kms_key_arn
    )
    error_message = "Secrets or logs are not encrypted with the key."
  }

  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.cluster.retention_in_days == 365
    error_message = "A log of the control plane is missing, or kept too short."
  }
}

run "a_public_api_is_open_to_the_named_networks_only" {
  command = plan

  module {
    source = "./modules/cluster"
  }

  variables {
    api_public_cidrs = ["198.51.100.0/24"]
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["198.51.100.0/24"])
    error_message = "The public endpoint does not have exactly the networks asked for."
  }
}

run "a_deployer_edits_its_own_namespace_and_people_administer" {
  command = plan

  module {
    source = "./modules/cluster"
  }

  assert {
    condition = { for name, association in aws_eks_access_policy_association.deployer : name => [
      association.principal_arn, association.policy_arn, association.access_scope[0].type, one(association.access_scope[0].namespaces),
      ] } == {
      dev = [
        "arn:aws:iam::123456789012:role/slipway-ci-deploy-dev", "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy", "namespace", "app-dev",
      ]
    }
    error_message = "A deployer reaches beyond its namespace."
  }

  assert {
    condition = [for association in aws_eks_access_policy_association.administrator : association.principal_arn] == [
      "arn:aws:iam::123456789012:role/platform",
    ]
    error_message = "Somebody else administers the cluster."
  }
}

run "nodes_are_small_private_counted_and_keep_their_role_from_pods" {
  command = plan

  module {
    source = "./modules/cluster"
  }

  assert {
    condition = (
      aws_launch_template.node.metadata_options[0].http_tokens == "required" &&
      aws_launch_template.node.metadata_options[0].http_put_response_hop_limit == 1
    )
    error_message = "A pod can borrow the node's role."
  }

  assert {
    condition     = aws_eks_node_group.this.capacity_type == "ON_DEMAND" && aws_eks_node_group.this.subnet_ids == toset(var.subnet_ids)
    error_message = "The nodes are not on demand, or not in the private subnets."
  }

  assert {
    condition = alltrue([
      for specification in aws_launch_template.node.tag_specifications : specification.tags["project"] == "slipway" && specification.tags["ttl"] == "2026-12-31"
    ])
    error_message = "What the launch template makes would be missing from the project's costs."
  }
}

run "network_policies_are_enforced_and_only_the_plugin_has_its_rights" {
  command = plan

  module {
    source = "./modules/cluster"
  }

  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values) == { enableNetworkPolicy = "true" }
    error_message = "Network policies would be accepted and not enforced."
  }

  assert {
    condition     = [for name, addon in aws_eks_addon.before_nodes : name if length(addon.pod_identity_association) > 0] == ["vpc-cni"]
    error_message = "The network plugin's role is not bound to its service account alone."
  }

  assert {
    condition     = alltrue([for attachment in aws_iam_role_policy_attachment.node : !endswith(attachment.policy_arn, "AmazonEKS_CNI_Policy")])
    error_message = "Every pod of a node could change its network."
  }
}
