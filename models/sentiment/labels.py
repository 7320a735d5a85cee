"""What training, export and evaluation agree on. Needs no torch, so that an evaluation needs none either."""

LABELS = ["negative", "neutral", "positive"]
MAX_TOKENS = 128
