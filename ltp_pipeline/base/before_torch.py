"""Is imported before torch: the threads of GNU OpenMP read their settings when torch loads them.

A variable that the user has set stays as it is. In a process that has loaded torch already, nothing is set.
"""

import os
import sys

from ltp_pipeline.base.threads import SPINNING, SPINNING_SET_BY_USER

if "torch" not in sys.modules and not any(os.environ.get(name) for name in SPINNING_SET_BY_USER):
    os.environ.update(SPINNING)
