"""MLflow runs, score tables and their views."""
