"""What stands for Fuchs and Zavadlav: transitions that are moved onto their targets."""
