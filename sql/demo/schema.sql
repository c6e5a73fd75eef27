-- The demo's posts: one table for each kind of key that a real database has.

CREATE TABLE note (
    id          bigint       PRIMARY KEY,
    author_id   bigint       NOT NULL,
    created_at  timestamptz  NOT NULL,
    is_live     boolean      NOT NULL DEFAULT false,
    title       varchar(200) NOT NULL,
    body        text         NOT NULL
);
COMMENT ON COLUMN note.is_live IS 'The note was written in a commercial live-stream, which the policy exempts.';

-- A partitioned table takes the partition column into its key: rows can move between partitions, and change their key.
CREATE TABLE note_archive (
    id          bigint       NOT NULL,
    author_id   bigint       NOT NULL,
    created_at  timestamptz  NOT NULL,
    body        text         NOT NULL,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);

CREATE TABLE note_archive_2020_07 PARTITION OF note_archive FOR VALUES FROM ('2020-07-01 00:00+08') TO ('2020-08-01 00:00+08');
CREATE TABLE note_archive_2020_08 PARTITION OF note_archive FOR VALUES FROM ('2020-08-01 00:00+08') TO ('2020-09-01 00:00+08');
CREATE TABLE note_archive_2020_09 PARTITION OF note_archive FOR VALUES FROM ('2020-09-01 00:00+08') TO ('2020-10-01 00:00+08');
CREATE TABLE note_archive_2020_10 PARTITION OF note_archive FOR VALUES FROM ('2020-10-01 00:00+08') TO ('2020-11-01 00:00+08');
CREATE TABLE note_archive_2020_11 PARTITION OF note_archive FOR VALUES FROM ('2020-11-01 00:00+08') TO ('2020-12-01 00:00+08');
CREATE TABLE note_archive_2020_12 PARTITION OF note_archive FOR VALUES FROM ('2020-12-01 00:00+08') TO ('2021-01-01 00:00+08');
CREATE TABLE note_archive_2021_01 PARTITION OF note_archive FOR VALUES FROM ('2021-01-01 00:00+08') TO ('2021-02-01 00:00+08');
CREATE TABLE note_archive_2021_02 PARTITION OF note_archive FOR VALUES FROM ('2021-02-01 00:00+08') TO ('2021-03-01 00:00+08');
CREATE TABLE note_archive_2021_03 PARTITION OF note_archive FOR VALUES FROM ('2021-03-01 00:00+08') TO ('2021-04-01 00:00+08');
CREATE TABLE note_archive_2021_04 PARTITION OF note_archive FOR VALUES FROM ('2021-04-01 00:00+08') TO ('2021-05-01 00:00+08');
CREATE TABLE note_archive_2021_05 PARTITION OF note_archive FOR VALUES FROM ('2021-05-01 00:00+08') TO ('2021-06-01 00:00+08');
CREATE TABLE note_archive_2021_06 PARTITION OF note_archive FOR VALUES FROM ('2021-06-01 00:00+08') TO ('2021-07-01 00:00+08');
CREATE TABLE note_archive_2021_07 PARTITION OF note_archive FOR VALUES FROM ('2021-07-01 00:00+08') TO ('2021-08-01 00:00+08');
CREATE TABLE note_archive_2021_08 PARTITION OF note_archive FOR VALUES FROM ('2021-08-01 00:00+08') TO ('2021-09-01 00:00+08');

CREATE TABLE comment (
    id          uuid         PRIMARY KEY,
    note_id     bigint       NOT NULL,
    author_id   bigint       NOT NULL,
    created_at  timestamptz  NOT NULL,
    body        text         NOT NULL
);
