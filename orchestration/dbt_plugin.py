"""The former name of ``orchestration.job.dbt_plugin``, kept for one release.

A ``profiles.yml`` of another project may still name it.
"""

from orchestration.job.dbt_plugin import Plugin

__all__ = ["Plugin"]
