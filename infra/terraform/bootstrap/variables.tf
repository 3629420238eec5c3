# Names and meanings are those of the cluster's configuration.

variable "project" {
  description = "Prefix of every name."
  type        = string
}

variable "account_id" {
  description = "The AWS account."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "owner" {
  description = "Who answers for the costs."
  type        = string
}

variable "github" {
  description = "The repository whose workflows plan and apply."
  type = object({
    owner          = string
    owner_id       = string
    repository     = string
    repository_id  = string
    workflow       = optional(string, ".github/workflows/release.yml")
    ref            = optional(string, "refs/heads/main")
    legacy_subject = optional(bool, false)
  })
}

variable "plan_environment" {
  description = "The GitHub environment in which pull requests are planned."
  type        = string
  default     = "plan"
}

variable "apply_environment" {
  description = "The GitHub environment in which plans are applied."
  type        = string
  default     = "dev"
}
