"""What kind of place a path names."""


def is_remote(path: str) -> bool:
    """Whether the path is for Spark's file systems only (s3://, dbfs:/...)."""
    return ":/" in path
