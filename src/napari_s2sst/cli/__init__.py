"""The command line `s2sst`: one module a command. In reading order:

terminal     progress, tables and signals of a terminal
inputs       the slide, genes, tissue and model that commands are given
options      the options of `impute`, checked -> settings
info         `s2sst info`
batch        `s2sst batch`, and options of workers
impute_here  one job in this process, told on the terminal
impute       `s2sst impute`
comparing    what `benchmark` and `ablations` share
benchmark    `s2sst benchmark`
ablations    `s2sst ablations`
app          all of them; `demo` and `view`
"""

from .app import main

__all__ = ["main"]
