"""Page Results: scores, errors, comparing, export. In reading order:

score_table    a small table, a name and figures in each row
diagnostics    how errors are spread
compare        how two maps are compared
store_choice   the SpatialData store that a result is also written into
export_dialog  what is written where
page           all of a result
"""
