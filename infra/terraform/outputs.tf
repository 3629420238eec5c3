output "cluster_name" {
  description = "Name of the EKS cluster."
  value       = module.cluster.name
}

output "registry_url" {
  description = "Host of the private registry; an image is REGISTRY_URL/SERVICE@sha256:…"
  value       = local.registry_url
}

output "kubeconfig" {
  description = "A kubeconfig that holds no credential: it runs `aws eks get-token`, so whoever uses it needs rights of their own."
  sensitive   = true # not secret, but it names the API's address, which has no place in a CI log

  value = yamlencode({
    apiVersion      = "v1"
    kind            = "Config"
    current-context = module.cluster.name
    clusters = [{
      name    = module.cluster.name
      cluster = { server = module.cluster.endpoint, certificate-authority-data = module.cluster.certificate_authority }
    }]
    contexts = [{
      name    = module.cluster.name
      context = { cluster = module.cluster.name, user = module.cluster.name }
    }]
    users = [{
      name = module.cluster.name
      user = {
        exec = {
          apiVersion      = "client.authentication.k8s.io/v1"
          command         = "aws"
          args            = ["eks", "get-token", "--region", var.region, "--cluster-name", module.cluster.name, "--output", "json"]
          interactiveMode = "Never"
        }
      }
    }]
  })
}

output "ci_role_arns" {
  description = "The roles that CI assumes, by what they are for."
  value = merge(
    { push = module.push_identity.role_arn },
    { for name, identity in module.deploy_identity : "deploy-${name}" => identity.role_arn },
  )
}

output "private_subnet_ids" {
  description = "Where a self-hosted runner has to stand to reach the cluster."
  value       = module.network.private_subnet_ids
}
