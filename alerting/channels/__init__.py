"""How people are reached: one module for each channel, which declares its facts and is given what it needs."""
