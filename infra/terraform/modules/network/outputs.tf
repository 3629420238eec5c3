output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "One private subnet per zone."
  value       = [for subnet in aws_subnet.private : subnet.id]
}

output "private_subnet_cidrs" {
  description = "The private subnets' address ranges, by zone."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block }
}
