"""The command line: ``monolith-ref``. Commands are found by name and imported only when they are used.

The engine's own commands are listed in :data:`BUILT_IN`; other packages add theirs through the entry-point group
``monolith_ref.commands``, so the suite brings ``compare`` and ``conform`` without the engine importing the suite.

Exit codes: 0 pass, 1 differences, 2 usage, configuration or input, 3 environment, 4 a fault of a rank (job 5).
"""

from __future__ import annotations

from monolith_ref.cli.app import main

__all__ = ["main"]
