"""Chains of inverted bottlenecks: ProxylessNAS, FBNet, Single-Path NAS."""
