variable "name" {
  description = "The cluster's name, and prefix of all others."
  type        = string
}

variable "aws" {
  description = "Where this is built."
  type        = object({ partition = string, account_id = string, region = string })
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in at least two zones."
  type        = list(string)
}

variable "api_client_cidrs" {
  description = "Networks inside the VPC that reach the API, by zone."
  type        = map(string)
}

variable "api_public_cidrs" {
  description = "Networks outside the VPC that reach the API. Empty: none does."
  type        = list(string)
}

variable "nodes" {
  description = "Instance types and size of the node group."
  type        = object({ instance_types = list(string), min = number, max = number })
}

variable "addon_versions" {
  description = "Versions to pin, by add-on."
  type        = map(string)
}

variable "deletion_protection" {
  description = "Make EKS refuse to delete the cluster."
  type        = bool
}

variable "kms_key_arn" {
  description = "The key that encrypts secrets and logs."
  type        = string
}

variable "permissions_boundary" {
  description = "ARN of the policy that bounds every role made here."
  type        = string
}

variable "administrators" {
  description = "IAM roles that administer the cluster, by a short name."
  type        = map(string)
}

variable "deployers" {
  description = "Roles that may edit one namespace each, by environment."
  type        = map(object({ role_arn = string, namespace = string }))
}
