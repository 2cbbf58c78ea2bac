"""The names of renditions, and which of them every image gets without being asked."""

PRESETS = ("thumb", "medium", "large", "full")
MEDIA_TYPES = {"webp": "image/webp", "jpg": "image/jpeg", "avif": "image/avif"}
EAGER = (("thumb", "webp"), ("medium", "webp"), ("large", "webp"))
