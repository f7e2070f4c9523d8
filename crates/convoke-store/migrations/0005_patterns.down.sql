DROP TABLE frame;
-- == rating ==
DROP INDEX run_team;
DROP TABLE rating;
