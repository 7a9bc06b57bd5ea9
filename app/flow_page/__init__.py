"""The page on VPC Flow Logs: panels over the marts, and what draws them."""
