"""What visits came to: images, perimeter, seconds and score by store and day."""
