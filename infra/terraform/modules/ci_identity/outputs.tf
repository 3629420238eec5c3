output "role_arn" {
  description = "The role to assume."
  value       = aws_iam_role.this.arn
}

output "role_name" {
  description = "Its name, known before the role exists."
  value       = aws_iam_role.this.name
}

output "policy" {
  description = "What the role may do, as text."
  value       = aws_iam_role_policy.this.policy
}
