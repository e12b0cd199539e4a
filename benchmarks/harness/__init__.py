"""One benchmark of the engine against its peers: every contender a process, taking turns. See docs/performance.md."""
