"""Dead letters: what lies there, and the way back."""
