"""A static site made from the marts: pages, figures and their data. It does not use Prefect.

``build.build_site`` makes the site. ``queries`` has one SQL file for each figure, ``templates`` has
the pages, and ``static`` has the site's own style and scripts.
"""
