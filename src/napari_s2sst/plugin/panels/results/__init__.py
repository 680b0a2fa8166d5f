"""Page Results: scores, errors, comparing, export. In reading order:

scores         tables of scores, and the scores of a preview
diagnostics    how errors are spread
compare        how two maps are compared
export_dialog  what is written where
page           all of a result
"""
