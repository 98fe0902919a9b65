"""``python -m orchestration.cli`` is ``medallion``."""

from orchestration.cli import main

main()
