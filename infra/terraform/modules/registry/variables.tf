variable "repositories" {
  description = "Names of the repositories."
  type        = set(string)
}

variable "moving_tags" {
  description = "Tags that may be written again; all others are immutable."
  type        = list(string)
}

variable "keep_images" {
  description = "How many images a repository keeps."
  type        = number
  default     = 300
}

variable "kms_key_arn" {
  description = "The key that encrypts the images."
  type        = string
}
