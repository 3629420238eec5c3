# Every value that has no default. The account and the ids are examples: replace them.

project    = "slipway"
account_id = "123456789012"
owner      = "platform@example.com"
ttl        = "2026-12-31"

github = {
  owner         = "example-org"
  owner_id      = "1000001"
  repository    = "slipway"
  repository_id = "2000002"
}

budget = {
  limit_usd = 200
  emails    = ["platform@example.com"]
}
