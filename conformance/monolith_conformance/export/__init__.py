"""The suite's data for other languages: vectors, traces, files to read and to refuse, and the comparison, recorded."""
