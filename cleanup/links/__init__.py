"""Which links a text holds and what becomes of them; pure, and knows no database."""
