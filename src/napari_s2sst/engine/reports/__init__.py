"""What goes wrong -> a log file, and one text that helps to find it, without names of places and people. In reading order:

log     the log file, and the names that it leaves out
report  versions, devices, settings and log in one text
"""
