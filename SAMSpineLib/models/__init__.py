"""Networks and their weights, one published system per module or folder."""
