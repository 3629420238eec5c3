output "backend_hcl" {
  description = "Write this to ../backend.hcl: terraform output -raw backend_hcl"
  value       = <<-EOT
    bucket     = "${local.bucket}"
    region     = "${var.region}"
    kms_key_id = "${aws_kms_key.state.arn}"
  EOT
}

output "ci_role_arns" {
  description = "The roles that CI assumes for Terraform."
  value       = { plan = module.plan_identity.role_arn, apply = module.apply_identity.role_arn }
}
