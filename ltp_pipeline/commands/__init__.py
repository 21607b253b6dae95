"""The commands behind the scripts at the root, and their entry points in an installation."""

import ltp_pipeline.base.before_torch  # noqa: F401
