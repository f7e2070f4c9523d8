-- == scale ==
DROP TABLE relief;
DROP TABLE scaled;
-- == stopped ==
DROP TABLE stopped;
-- == figures ==
ALTER TABLE rating DROP COLUMN capability;

-- == overridden ==
DROP TABLE overridden;

-- == frame ==
DROP TABLE frame;

-- == outcome ==
DROP TABLE outcome;

-- == rating ==
DROP INDEX run_team;
DROP TABLE rating;
