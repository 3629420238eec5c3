# The control plane: private, encrypted, logged, and entered by access entries alone.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

locals {
  policy_arn = "arn:${var.aws.partition}:iam::aws:policy"
}

resource "aws_eks_cluster" "this" {
  # checkov:skip=CKV_AWS_339:Its list of supported versions ends at 1.35; var.kubernetes_version allows what AWS supports; expires 2027-05-21
  name                          = var.name
  version                       = var.kubernetes_version
  role_arn                      = aws_iam_role.cluster.arn
  deletion_protection           = var.deletion_protection
  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  bootstrap_self_managed_addons = false # they are add-ons below, with versions and roles

  vpc_config {
    subnet_ids              = var.subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = length(var.api_public_cidrs) > 0
    # Left out, AWS puts the whole internet here; with the endpoint off it is moot.
    public_access_cidrs = length(var.api_public_cidrs) > 0 ? var.api_public_cidrs : null
  }

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = var.kms_key_arn
    }
  }

  upgrade_policy {
    support_type = "STANDARD" # upgraded rather than billed for extended support
  }

  depends_on = [
    aws_cloudwatch_log_group.cluster, # or EKS makes it: unencrypted, and kept for ever
    aws_iam_role_policy_attachment.cluster,
    aws_iam_role_policy.cluster,
  ]
}

resource "aws_cloudwatch_log_group" "cluster" {
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = 365
  kms_key_id        = var.kms_key_arn
}

# A runner stands in a private subnet, outside the cluster's own security group.
resource "aws_vpc_security_group_ingress_rule" "api" {
  for_each = var.api_client_cidrs

  security_group_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  description       = "Kubernetes API, from the private subnet in ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_iam_role" "cluster" {
  name                 = "${var.name}-cluster"
  permissions_boundary = var.permissions_boundary

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "eks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "${local.policy_arn}/AmazonEKSClusterPolicy"
}

resource "aws_iam_role_policy" "cluster" {
  name = "secrets-key"
  role = aws_iam_role.cluster.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:ListGrants"]
      Resource = [var.kms_key_arn]
    }]
  })
}
