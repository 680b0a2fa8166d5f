"""All methods on the same sparse input -> scores, seconds, memory. In reading order:

colour       a slide's stains -> their brightness in each bin
dist         DIST: a network for all genes of a slide
potts        BayesSpace's chain: clusters and components by MCMC
bayes_space  BayesSpace: genes at measured bins -> genes at every bin
limit        the information limit: what neighbours can tell at all
benchmark    the benchmark
ablations    the paper's ablations: named variants of a preset
"""
