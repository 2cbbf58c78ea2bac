"""What need not be sent: asked by users about their own images, by links about what came through them."""
