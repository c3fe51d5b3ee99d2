"""The routes: one thin module a resource."""
