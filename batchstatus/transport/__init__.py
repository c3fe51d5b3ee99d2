"""How commands reach the store, and what can go wrong on the way."""
