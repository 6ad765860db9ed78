"""What can be said with a model's weights at hand: their digests, signatures over those, and marks inside them."""
