output "repository_urls" {
  description = "Where to push, by service."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}
