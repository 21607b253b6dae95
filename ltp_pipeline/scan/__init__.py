"""A source tree to findings: which functions, and which of their lines, to read first.

```python
>>> from ltp_pipeline.scan import scan
>>> report = scan(["src"], "checkpoint", threshold=0.8)
>>> for finding in report.findings:
...     print(finding.unit.path, finding.unit.first_line, finding.probability)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltp_pipeline.scan.engine import scan

__all__ = ["scan"]


def __getattr__(name: str) -> Any:
    """`scan`, imported when it is first used: the reports need only the dataclasses."""
    if name == "scan":
        from ltp_pipeline.base.extras import check_installed

        check_installed("a scan", "scan", "pathspec")
        from ltp_pipeline.scan.engine import scan

        return scan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
