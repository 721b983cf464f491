"""Mean-variance regression: a mean and a precision, fitted together and regularised apart.

After Wong-Toi, Boyd, Fortuin and Mandt, "On the effect of regularization on nonparametric
mean-variance regression" (arXiv:2511.22004).

One convention everywhere, that of the paper's loss without a factor 1/2:

    L = rho (1/n) sum_i [Lambda_i (y_i - mu_i)^2 - ln Lambda_i]
        + (1 - rho) [gamma R_mu + (1 - gamma) R_Lambda],

with R the squared length of a network's parameters, or in the field theory int |mu'|^2 dx and
int |Lambda'|^2 dx.
"""
