"""Buckets of S3, Google Cloud Storage and Azure: what the lake and the sources in buckets share."""
