"""Grokking: representations of symbols that addition forces, or does not.

After Liu et al., "Towards understanding grokking: an effective theory of representation learning"
(arXiv:2205.10343).
"""
