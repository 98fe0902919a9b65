"""A static site made from the marts: pages, figures and their data; knows no Prefect.

``build.build_site`` makes it. The queries are in ``queries``, one file for each figure; the pages
are in ``templates``; ``static`` has the site's own style and script.
"""
