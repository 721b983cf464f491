"""What stands for Liu et al.: comprehension, grokking, memorization, confusion."""
