"""Page Training: how to train, and how it goes. In reading order:

setting_editors  a field of the config -> its editor
settings_form    all of them, as a form
cluster_dialog   a cluster's address, tried
place            on this computer or on a cluster
page             preset, time, device, first weights
several          one training a gene, or one for all
model_card       what a model is, and what to do with it
loss_files       its curves as a table and a picture
loss_plot        how the error falls
live_scores      how good the preview is
"""
