"""`leadstream doctor`: what is wrong with tokens, permissions, subscriptions and versions, and what to do about it."""
