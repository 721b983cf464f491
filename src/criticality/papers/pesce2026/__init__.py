"""Figures of Pesce, He and Caldarelli: networks that lose their weights step by step."""
