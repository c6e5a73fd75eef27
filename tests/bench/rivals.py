"""What is compared with: the floor of any scan, a filter in the server, and the UPDATE that people write by hand."""

import re
import subprocess
from collections.abc import Sequence
from typing import Final

import psycopg

from cleanup.demo.server import Server

# What somebody in a hurry writes down.
FIVE: Final = (r"taobao\.com", r"tmall\.com", r"tb\.cn", r"xiaohongshu\.com/goods", r"tmall\.hk")
PLACEHOLDER: Final = "[链接已移除]"

_LOG: Final = """
CREATE TABLE trigger_log (LIKE note);
ALTER TABLE trigger_log ADD verb text, ADD side text, ADD number bigserial,
    ADD at timestamptz DEFAULT clock_timestamp(), ADD transaction bigint DEFAULT txid_current(),
    ADD by_role text DEFAULT session_user;
ALTER TABLE trigger_log ADD PRIMARY KEY (number);
CREATE FUNCTION keep_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO trigger_log SELECT OLD.*, 'UPD', 'OLD'; INSERT INTO trigger_log SELECT NEW.*, 'UPD', 'NEW'; RETURN NULL;
END $$;
CREATE TRIGGER keep_rows AFTER UPDATE ON note FOR EACH ROW EXECUTE FUNCTION keep_rows();
"""


class Rivals:
    """The statements by hand, on one server."""

    def __init__(self, server: Server, dsn: str, hosts: Sequence[str]) -> None:
        self._server = server
        self._dsn = dsn
        self._five = _pattern(FIVE)
        self._hosts = _pattern([re.escape(host) for host in hosts])

    def floor(self) -> None:
        """The binary copy of all that a plan reads to nowhere."""
        self._copy("id, title, body, created_at, author_id, is_live")

    def floor_of_texts(self) -> None:
        """The same of key and texts alone."""
        self._copy("id, title, body")

    def _copy(self, columns: str) -> None:
        statement = rf"\copy (SELECT {columns} FROM note) TO /dev/null (FORMAT binary)"
        subprocess.run([self._server.program("psql"), "-qX", "-d", self._dsn, "-c", statement], check=True)

    def filter_in_server(self) -> None:
        """Only look, with five patterns."""
        with psycopg.connect(self._dsn) as connection:
            connection.execute("SELECT count(*) FROM note WHERE body ~ %s OR title ~ %s", (self._five, self._five))

    def update_five(self) -> None:
        """One statement, five patterns; rolled back."""
        self._update(self._five)

    def update_hosts(self) -> None:
        """One statement with every host of the policy; rolled back."""
        self._update(self._hosts)

    def trigger_log_bytes(self) -> int:
        """How large a log of whole old and new rows gets, for the rows that the five patterns change."""
        with psycopg.connect(self._dsn) as connection:
            connection.execute(_LOG.encode())
            connection.execute(_UPDATE, {"pattern": self._five, "placeholder": PLACEHOLDER})
            row = connection.execute(
                "SELECT pg_total_relation_size('trigger_log'), count(*) / 2 FROM trigger_log"
            ).fetchone()
            connection.rollback()
        assert row is not None
        return int(row[0]) // max(1, int(row[1]))

    def _update(self, pattern: str) -> None:
        with psycopg.connect(self._dsn) as connection:
            connection.execute(_UPDATE, {"pattern": pattern, "placeholder": PLACEHOLDER})
            connection.rollback()


_UPDATE: Final = """UPDATE note
   SET body = regexp_replace(body, %(pattern)s, %(placeholder)s, 'g'),
       title = regexp_replace(title, %(pattern)s, %(placeholder)s, 'g')
 WHERE body ~ %(pattern)s OR title ~ %(pattern)s"""


def _pattern(hosts: Sequence[str]) -> str:
    return rf"https?://([a-z0-9-]+\.)*({'|'.join(hosts)})[^\s，。！？、）】]*"
