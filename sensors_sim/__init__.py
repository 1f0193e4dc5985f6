"""A city that can be simulated: plant physics, sensor faults, scenarios, publishers and load."""
