"""The messages to the store: the scripts, one typed function each, and the fields of a job's hash."""
