mock_provider "aws" {}

variables {
  repositories = ["app", "worker"]
  moving_tags  = ["main"]
  kms_key_arn  = "arn:aws:kms:eu-central-1:123456789012:key/example"
}

run "a_commit_tag_is_written_once_and_only_main_moves" {
  command = plan

  module {
    source = "./modules/registry"
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE_WITH_EXCLUSION"])
    error_message = "A commit's tag could be written again."
  }

  assert {
    condition = alltrue([for repository in aws_ecr_repository.this :
      [for exclusion in repository.image_tag_mutability_exclusion_filter : exclusion.filter] == ["main"]
    ])
    error_message = "Other tags than main can move."
  }
}

run "images_are_scanned_encrypted_and_not_deleted_with_the_stack" {
  command = plan

  module {
    source = "./modules/registry"
  }

  assert {
    condition = alltrue([for repository in aws_ecr_repository.this : (
      repository.image_scanning_configuration[0].scan_on_push &&
      repository.encryption_configuration[0].encryption_type == "KMS" &&
      repository.encryption_configuration[0].kms_key == var.kms_key_arn &&
      repository.force_delete != true
    )])
    error_message = "Images are not scanned, not encrypted with the key, or go away with the repository."
  }

  assert {
    condition     = keys(aws_ecr_lifecycle_policy.this) == ["app", "worker"]
    error_message = "A repository would grow for ever."
  }
}
