"""An imputed map and the truth -> how good it is. In reading order:

metrics      MAE, PCC, SSIM, and the map of errors
regions      regions -> their area, means and error, as a table
diagnostics  how errors are spread, and whether the interval is honest
"""
