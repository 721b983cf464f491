"""What stands for Bonnaire, Catania, Decelle and Seoane: hidden units that retrieve, or do not."""
