"""The log, and everything that reads it in order: the engine's runner, checkpoints, the reading store."""
