# Who may do what in the cluster. There is no aws-auth map, and creating the cluster gives no rights in it.

resource "aws_eks_access_entry" "administrator" {
  for_each = var.administrators

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value
}

resource "aws_eks_access_policy_association" "administrator" {
  for_each = aws_eks_access_entry.administrator

  cluster_name  = each.value.cluster_name
  principal_arn = each.value.principal_arn
  policy_arn    = "arn:${var.aws.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}

resource "aws_eks_access_entry" "deployer" {
  for_each = var.deployers

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value.role_arn

  # For what AWS's edit policy leaves out, such as custom resources: a RoleBinding in the namespace names this group.
  kubernetes_groups = ["deployers:${each.value.namespace}"]
}

resource "aws_eks_access_policy_association" "deployer" {
  for_each = aws_eks_access_entry.deployer

  cluster_name  = each.value.cluster_name
  principal_arn = each.value.principal_arn
  policy_arn    = "arn:${var.aws.partition}:eks::aws:cluster-access-policy/AmazonEKSEditPolicy"

  access_scope {
    type       = "namespace"
    namespaces = [var.deployers[each.key].namespace]
  }
}
