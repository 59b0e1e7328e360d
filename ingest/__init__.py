"""How leads get in: the webhook service, and what it shares with those who read after it."""
