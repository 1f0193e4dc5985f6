"""The reading store: follows the log and keeps every reading once, found again in milliseconds by sensor and time."""
