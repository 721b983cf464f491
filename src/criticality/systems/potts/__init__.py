"""The two-dimensional Potts model with couplings of neighbours, diagonals and corners."""
