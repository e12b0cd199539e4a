"""Search without end: generated cases with ever new examples, a corpus that is kept, findings as fixed cases."""
