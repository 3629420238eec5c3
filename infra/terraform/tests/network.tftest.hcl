mock_provider "aws" {}

variables {
  name                 = "slipway"
  aws                  = { partition = "aws", account_id = "123456789012", region = "eu-central-1" }
  cidr                 = "10.20.0.0/16"
  zones                = ["eu-central-1a", "eu-central-1b"]
  nat_per_zone         = false
  kms_key_arn          = "arn:aws:kms:eu-central-1:123456789012:key/example"
  permissions_boundary = "arn:aws:iam::123456789012:policy/slipway-boundary"
}

run "each_zone_has_a_private_and_a_public_subnet_that_do_not_overlap" {
  command = plan

  module {
    source = "./modules/network"
  }

  assert {
    condition = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } == {
      eu-central-1a = "10.20.0.0/20", eu-central-1b = "10.20.16.0/20"
      } && { for zone, subnet in aws_subnet.public : zone => subnet.cidr_block } == {
      eu-central-1a = "10.20.128.0/20", eu-central-1b = "10.20.144.0/20"
    }
    error_message = "The subnets are not where they were: changing them rebuilds them."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "A machine in a public subnet would get a public address unasked."
  }
}

run "a_single_nat_gateway_serves_all_zones" {
  command = apply # of mocks: which gateway a route leads to is known only then

  module {
    source = "./modules/network"
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"] && alltrue([for route in aws_route.nat : route.nat_gateway_id == aws_nat_gateway.this["eu-central-1a"].id])
    error_message = "Not exactly one NAT gateway, or a private subnet does not use it."
  }
}

run "with_nat_per_zone_no_zone_depends_on_another" {
  command = apply

  module {
    source = "./modules/network"
  }

  variables {
    nat_per_zone = true
  }

  assert {
    condition = { for zone, route in aws_route.nat : zone => route.nat_gateway_id } == {
      for zone, gateway in aws_nat_gateway.this : zone => gateway.id
    } && length(aws_nat_gateway.this) == 2
    error_message = "A zone goes out by another zone's gateway."
  }
}

run "a_third_zone_leaves_the_addresses_of_the_others" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  }

  assert {
    condition     = [for zone in var.zones : aws_subnet.private[zone].cidr_block] == ["10.20.0.0/20", "10.20.16.0/20", "10.20.32.0/20"]
    error_message = "A subnet moved."
  }
}
