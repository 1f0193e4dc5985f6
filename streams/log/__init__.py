"""The log: everything first goes in here, everything else reads from here. Two kinds stand behind one port."""
