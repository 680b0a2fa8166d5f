"""Small widgets and looks that know nothing of a slide. In reading order:

theme       napari's theme -> the dock's colours and style sheet
docked      a dock that learns when it is over; timers and viewers of docks
clock       seconds and a training's progress -> words
fold        a part of a panel that is folded away
combo_rows  combo boxes of which single rows are grey
banners     a problem, and a training that can be gone on with, above the pages
zoom_plot   a plot that is dragged and zoomed on a page that scrolls
"""
