"""From a device's socket to the log: the door, payload codecs, admission and quarantine."""
