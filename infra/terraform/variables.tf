variable "project" {
  description = "Prefix of every name, and the tag by which costs are counted."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.project))
    error_message = "project is 2 to 20 lower-case letters, digits and dashes, and starts with a letter."
  }
}

variable "account_id" {
  description = "The AWS account that everything is built in."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id is the twelve digits of an AWS account."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "owner" {
  description = "Who answers for the costs: a team or a mailbox."
  type        = string
}

variable "ttl" {
  description = "The day after which this may be torn down, as YYYY-MM-DD, or \"never\". It has no default: somebody decides."
  type        = string

  validation {
    condition     = var.ttl == "never" || can(regex("^20[0-9]{2}-[01][0-9]-[0-3][0-9]$", var.ttl))
    error_message = "ttl is a day as YYYY-MM-DD, or \"never\"."
  }
}

variable "vpc_cidr" {
  description = "Address range of the VPC, a /16: each subnet gets a /20 of it."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && endswith(var.vpc_cidr, "/16")
    error_message = "vpc_cidr is an IPv4 range ending in /16."
  }
}

variable "zones" {
  description = "Availability zones, by name. They are named, not asked for: the answer may change, and subnets would be rebuilt."
  type        = list(string)
  default     = ["eu-central-1a", "eu-central-1b"]

  validation {
    condition     = length(distinct(var.zones)) == length(var.zones) && contains([2, 3], length(var.zones))
    error_message = "zones are two or three different ones: EKS refuses a cluster in a single zone."
  }

  validation {
    condition     = alltrue([for zone in var.zones : startswith(zone, var.region)])
    error_message = "zones: one is not in var.region."
  }
}

variable "nat_per_zone" {
  description = "One NAT gateway per zone. Off, a single one is shared: cheaper, and its zone's outage cuts all nodes off the internet."
  type        = bool
  default     = false
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
  default     = "1.36"

  validation {
    condition     = contains(["1.35", "1.36"], var.kubernetes_version)
    error_message = "kubernetes_version is 1.35 or 1.36: anything older is in, or about to enter, paid extended support."
  }
}

variable "api_public_cidrs" {
  description = "Networks that may reach the Kubernetes API from outside the VPC. Empty: the public endpoint is off."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_public_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "api_public_cidrs are IPv4 ranges, and never the whole internet."
  }
}

variable "nodes" {
  description = "The managed node group: instance types, and how many."
  type = object({
    instance_types = optional(list(string), ["t3.medium"])
    min            = optional(number, 2)
    max            = optional(number, 4)
  })
  default = {}

  validation {
    condition     = var.nodes.min >= 2 && var.nodes.max >= var.nodes.min && var.nodes.max <= 10
    error_message = "nodes: 2 <= min <= max <= 10. Ten is the cost guardrail; raise it here, with a reason, where it is too small."
  }
}

variable "addon_versions" {
  description = "EKS add-on versions to pin, by add-on. One that is not named gets the version AWS gives by default to kubernetes_version."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Make EKS refuse to delete the cluster. Turned off by an apply of its own before a destroy."
  type        = bool
  default     = true
}

variable "administrators" {
  description = "IAM roles of people who administer the cluster, by a short name. Whoever creates the cluster gets no rights by that."
  type        = map(string)
  default     = {}
}

variable "environments" {
  description = "Environments deployed to this cluster, each a namespace and a GitHub environment of the same name as the key."
  type        = map(object({ namespace = string }))
  default = {
    dev  = { namespace = "app-dev" }
    prod = { namespace = "app-prod" }
  }

  validation {
    condition     = length(distinct([for e in var.environments : e.namespace])) == length(var.environments)
    error_message = "environments: two of them share a namespace."
  }
}

variable "repositories" {
  description = "Image repositories, one per service."
  type        = set(string)
  default     = ["app"]
}

variable "push_environment" {
  description = "The GitHub environment whose job builds and pushes images."
  type        = string
  default     = "dev"
}

variable "github" {
  description = <<-EOT
    The repository whose workflows may assume the CI roles. The numeric ids outlive renames and cannot be taken over by
    somebody who registers an abandoned name. legacy_subject: the repository still issues subjects without ids, as those
    made before 15 July 2026 do.
  EOT
  type = object({
    owner          = string
    owner_id       = string
    repository     = string
    repository_id  = string
    workflow       = optional(string, ".github/workflows/release.yml")
    ref            = optional(string, "refs/heads/main")
    legacy_subject = optional(bool, false)
  })

  validation {
    condition     = can(regex("^[0-9]+$", var.github.owner_id)) && can(regex("^[0-9]+$", var.github.repository_id))
    error_message = "github: owner_id and repository_id are numbers (gh api repos/OWNER/REPO --jq '.owner.id, .id')."
  }
}

variable "budget" {
  description = "Monthly limit in US dollars, and who is told at 50, 80 and 100 % of it."
  type = object({
    limit_usd = number
    emails    = list(string)
  })

  validation {
    condition     = var.budget.limit_usd > 0 && length(var.budget.emails) > 0
    error_message = "budget: a limit above zero, and at least one address that is told."
  }
}
