"""Webhooks: who is told of the ends of an organization's jobs, and how every end reaches them at least once."""
