"""The former name of ``orchestration.alerting.setup``, kept for one release."""

import sys

from orchestration.alerting.setup import main

if __name__ == "__main__":
    sys.exit(main())
