"""What stands for Wong-Toi et al.: regularisation between constants and overfitting."""
