"""Second moments, and the least-squares fit from them."""
