output "name" {
  description = "The cluster's name."
  value       = aws_eks_cluster.this.name
}

output "endpoint" {
  description = "The API's address."
  value       = aws_eks_cluster.this.endpoint
}

output "certificate_authority" {
  description = "The API's certificate authority, base64."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}
