"""The dashboard below `/admin`: a member sees their own data, an admin everything.

router.py       sign in, sign out, the overview
images.py       the grid of images, and the page of one image
links.py        links, with QR codes and pages to print
visits.py       batches, stores, visits, jobs, resizes
operations.py   webhooks, dead letters, audits and reprocessing, accounts, API keys
access.py       the session of a request, and the forms that count
pages.py        the frame of a page, lists, where a form leads, failures
charts.py       shapes of bar charts
"""
