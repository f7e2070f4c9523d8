-- == overridden ==
DROP TABLE overridden;
