"""Which links a text holds and what becomes of them; pure, and knows no database."""

from typing import Final

# Raised whenever the same policy can give another result for the same text: a plan that was
# signed under one matcher must not be applied by another. It is not the release number.
MATCHER_VERSION: Final = 2
