"""Figures of Pan, Aggarwal and Pixley: dropout-induced phases of fully-connected networks."""
