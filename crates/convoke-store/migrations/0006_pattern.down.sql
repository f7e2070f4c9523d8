DROP TABLE pattern;
