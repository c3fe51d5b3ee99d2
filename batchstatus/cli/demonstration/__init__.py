"""The demo: its story, and the stage on which its services and importers run."""
