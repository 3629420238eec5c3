variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "aws" {
  description = "Where this is built."
  type        = object({ partition = string, account_id = string, region = string })
}

variable "cidr" {
  description = "Address range of the VPC, a /16."
  type        = string
}

variable "zones" {
  description = "Availability zones to spread over, at most 8."
  type        = list(string)
}

variable "nat_per_zone" {
  description = "One NAT gateway per zone, or a single one for all."
  type        = bool
}

variable "kms_key_arn" {
  description = "The key that encrypts the flow logs."
  type        = string
}

variable "permissions_boundary" {
  description = "ARN of the policy that bounds every role made here."
  type        = string
}
