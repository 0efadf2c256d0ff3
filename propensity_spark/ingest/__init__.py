"""Raw logs to bronze and silver."""
