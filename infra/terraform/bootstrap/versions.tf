terraform {
  required_version = ">= 1.11, < 2"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25"
    }
  }

  # No backend: this makes the bucket that state is kept in. Its own state moves there afterwards (README.md, "State").
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      project    = var.project
      owner      = var.owner
      ttl        = "never"
      managed_by = "terraform"
    }
  }
}
