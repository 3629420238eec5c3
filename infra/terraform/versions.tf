terraform {
  required_version = ">= 1.11, < 2" # 1.11 is the first whose S3 backend locks without DynamoDB

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25"
    }
  }

  # The bucket, its key and its region come from the bootstrap stack:
  #   terraform init -backend-config=backend.hcl
  backend "s3" {
    key          = "cluster/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id] # a plan for one account must never reach another

  default_tags {
    tags = local.tags
  }
}
