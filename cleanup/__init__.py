"""Make the historical posts of a PostgreSQL database follow a link policy, reversibly."""

from typing import Final

VERSION: Final = "0.1.0"
