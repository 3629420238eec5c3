output "role_arn" {
  description = "The role to assume."
  value       = aws_iam_role.this.arn
}

output "role_name" {
  description = "Its name, known before the role exists."
  value       = aws_iam_role.this.name
}
