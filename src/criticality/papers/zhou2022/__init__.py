"""What stands for Zhou et al.: layers that condense, one after the other."""
