-- == overridden ==
DROP TABLE overridden;

-- == rating ==
DROP INDEX run_team;
DROP TABLE rating;
