"""The rules of a job's life: its transitions, the indexes that list it, and reading it truthfully."""
