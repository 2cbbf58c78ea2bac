"""Search: which images somebody may see, filtered, sorted, a page at a time.

``schemas`` reads what is asked for, ``lanes`` says among which images, ``statements`` writes the SQL, ``places`` turns
a circle on the Earth into ranges that an index finds.

What an index can list in the order of the answer is read from there, a page's worth. Four filters have no such order
(words, distance, score, capture time). For them the newest few thousand images are looked through first: what many
images match is found there at once. When that did not fill the page, few match, and those are gathered by the filter's
own index and sorted. So neither way ever reads much, and no guess of the database about how many match decides.
"""
