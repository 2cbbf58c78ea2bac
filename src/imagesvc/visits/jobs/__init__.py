"""Jobs: submitted sets of visits whose images workers download, admit like any upload, and measure.

service.py    submit, look, cancel            downloads.py  one image on its way: the task's handler
ending.py     what ends an image and a job    arrivals.py   pictures that we have already
"""
