variable "name" {
  description = "Name of the role."
  type        = string
}

variable "issuer_arn" {
  description = "IAM's identity provider for GitHub Actions."
  type        = string
}

variable "github" {
  description = "The repository, and the workflow file on the branch that may assume the role."
  type = object({
    owner          = string
    owner_id       = string
    repository     = string
    repository_id  = string
    workflow       = string
    ref            = string
    legacy_subject = bool
  })
}

variable "environment" {
  description = "The GitHub environment the job must run in."
  type        = string
}

variable "any_branch" {
  description = "Accept any branch and workflow file, as pull requests need. For roles that only read."
  type        = bool
  default     = false
}

variable "statements" {
  description = "What the role may do: statements of an IAM policy."
  type        = any
}

variable "permissions_boundary" {
  description = "ARN of the policy that bounds the role."
  type        = string
}
