"""The store master: one store at a time, or a CSV file of them."""
