"""``python -m monolith_ref`` is ``monolith-ref``."""

from monolith_ref.cli.app import main

main()
