"""What the codes of a risk mean in the languages that people read; the same keys in each."""
