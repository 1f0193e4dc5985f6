"""Who and where: enterprises, devices, their secrets and their facts."""
