"""Real logs as batches: the map of columns, readers, hashing, order and cutting. Rule: job 1."""
